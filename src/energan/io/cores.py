"""How many of the machine's cores a process may use."""

import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")

MOST_THREADS = 1024
"""No machine has so many cores; tens of thousands of threads end the process."""


def cores() -> int:
    """Cores of this process: those of its affinity, at most as many as its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text().split()
        return max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):  # no such limit, or "max"
        return count


def threads() -> int:
    """Threads that a process should use: the environment's OMP_NUM_THREADS, else its cores.

    Processes that torchrun started on one machine share its cores.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    beside = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1") or 1))
    # torchrun sets one thread for each process if the user set none: not the user's word
    if asked.isdigit() and int(asked) > 0 and not (beside > 1 and asked == "1"):
        return int(asked)
    return max(1, cores() // beside)
