"""How many of the machine's cores a process may use."""

import os
from pathlib import Path

from energan.io.environment import whole_number

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


def environment_threads() -> int | None:
    """The environment's OMP_NUM_THREADS; None if the user set none.

    Raises SettingError for variables that are no such numbers.
    """
    asked = whole_number("OMP_NUM_THREADS", 1, MOST_THREADS, listed=True)  # by depth of nesting
    # torchrun sets one thread for each process if the user set none: not the user's word
    return None if _beside() > 1 and asked == 1 else asked


def threads() -> int:
    """Threads that a process should use: the environment's OMP_NUM_THREADS, else its cores.

    Processes that torchrun started on one machine share its cores. Raises SettingError for
    variables that are no such numbers.
    """
    return environment_threads() or max(1, cores() // _beside())


def _beside() -> int:
    """Processes that torchrun started on this machine."""
    return whole_number("LOCAL_WORLD_SIZE", 1, MOST_THREADS) or 1
