"""How much of the machine's memory a process may use, and whether what it is asked for fits."""

import ctypes
import os
import sys
from pathlib import Path

from energan.errors import DataError, EnerganError
from energan.io.text import size_text

UNKNOWN = 8_000_000_000
"""Bytes of memory of a machine that does not say, as one with Windows."""


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


def return_memory() -> bool:
    """Give what is free on the heap back to the system, where the C library can; whether it could.

    glibc before 2.38 does not use the gaps again that aligned blocks such as tensors leave
    (bug 14581): memory then grows with each batch of large images.
    """
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    return trim is not None and bool(trim(0) >= 0)


def check_memory(
    needed: int,
    what: str,
    remedy: str,
    *,
    free: int | None = None,
    error: type[EnerganError] = DataError,
) -> None:
    """Raise `error` if `needed` bytes are more than are free, which is told before work begins.

    what: takes them, as "a batch of 64". free: of another memory than this machine's.
    """
    if needed > (least := free_memory() if free is None else free):
        sizes = f"{size_text(needed)}, and {size_text(least)} are free"
        raise error(f"{what} would take {sizes}: {remedy}")


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
