"""The machine that trials run on: cores, GPUs, memory, and how processes share them."""

import socket
from dataclasses import dataclass

import torch

from energan.experiment.settings import Job
from energan.io.cores import cores
from energan.io.memory import free_memory
from energan.training.device import choose

SHARE = 0.8
"""Of the free memory, what trials may take: the rest is for what was not counted."""
OWN = 600_000_000
"""Bytes of a process before it trains: torch's libraries, or a GPU's context; and data."""


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
