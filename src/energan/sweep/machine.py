"""The machine that trials run on: cores, GPUs, memory, and how processes share them."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import torch

from energan.experiment.settings import Job
from energan.io.cores import cores
from energan.sweep.flops import Cost
from energan.training.device import choose, native_bf16

SHARE = 0.8
"""Of the free memory, what trials may take: the rest is for what was not counted."""
OWN = 600_000_000
"""Bytes of a process before it trains: torch's libraries, or a GPU's context; and data."""
UNKNOWN = 8_000_000_000
"""Bytes of memory of a machine that does not say, as one with Windows."""


@dataclass(frozen=True)
class Machine:
    """free: bytes, of one GPU or of the machine. gpus: 0 on a CPU."""

    device: torch.device
    gpus: int
    cores: int
    free: int
    host: str

    def layout(self, packages: int, processes: int | None, threads: int | None) -> tuple[int, int]:
        """(processes, threads of each) for at most `packages` at once; what is given stays.

        A process for each core, or GPU; if there is less to do, more threads for each.
        """
        if processes is None:
            most = self.gpus or max(1, self.cores // (threads or 1))
            processes = max(1, min(most, packages))
        return processes, threads or max(1, self.cores // processes)

    def room(self, processes: int) -> int:
        """Bytes that a package of one of so many processes may take."""
        beside = -(-processes // self.gpus) if self.gpus else processes
        return max(0, int(SHARE * self.free / beside) - OWN)


def machine_of(job: Job) -> Machine:
    """Where the job would train. Raises SettingError for a device that is not there."""
    device = choose(job.settings.engine, switches=False).device
    host = socket.gethostname()
    if device.type == "cpu":
        return Machine(device, 0, cores(), free_memory(), host)
    gpus = torch.cuda.device_count() if device.index is None else 1
    free, _ = torch.cuda.mem_get_info(device)
    return Machine(device, gpus, cores(), free, host)


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that this machine, or its container, still has."""
    found = [_physical()] if (told := _available(root)) is None else [told]
    group = root / "sys/fs/cgroup"
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            found.append(int((group / most).read_text()) - int((group / used).read_text()))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    return max(0, min(found))


def _available(root: Path) -> int | None:
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    return None


def _physical() -> int:
    if not hasattr(os, "sysconf"):
        return UNKNOWN
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def member_bytes(job: Job, cost: Cost, device: torch.device) -> int:
    """Memory of one member: weights, gradients, optimisers' states, averages, activations."""
    engine, wide = job.settings.engine, _wide(job)
    copies = 2.0 + bool(job.settings.training.ema)
    if engine.precision == "bf16" or (engine.precision == "auto" and native_bf16(device)):
        copies += 0.5  # autocast keeps the weights in half precision too
    parameters = cost.energy + cost.sampler
    return int(wide * (copies * parameters + cost.states(job)) + cost.activations * wide / 4)


def checkpoint_bytes(job: Job, cost: Cost) -> int:
    """Of a copy of one member's weights, averages and states, as writing a checkpoint makes one."""
    copies = 1 + bool(job.settings.training.ema)
    return _wide(job) * (copies * (cost.energy + cost.sampler) + cost.states(job))


def _wide(job: Job) -> int:
    return 8 if job.settings.engine.precision == "64" else 4
