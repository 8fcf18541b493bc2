"""Who has a trial: claims in a shared folder, which heartbeats keep alive.

`claims/ID.N` is made in one step (O_EXCL), so that one process gets it. It is alive while its file
is touched; on the same machine a lock tells at once that its process is gone. Whoever finds it dead
makes `ID.N+1`. A process that was only slow sees the higher number at its next look, and stops.
"""

import fcntl
import json
import os
import threading
import time
from pathlib import Path
from typing import IO, Any

from energan.sweep.folder import SweepFolder

BEAT = 5.0
"""Seconds between heartbeats."""
LOST_AFTER = 60.0
"""Seconds without one, after which a claim is dead."""


class Claim:
    """A trial that this process has, until `release`, or until it is taken away.

    lost: whether another process took it, since this one seemed dead.
    """

    def __init__(self, folder: SweepFolder, trial: str, number: int, file: IO[str]) -> None:
        self.folder, self.trial, self.number, self._file = folder, trial, number, file
        self.path = Path(file.name)
        self.lost = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beating, daemon=True)
        self._thread.start()

    @property
    def attempts(self) -> int:
        """How often the trial was begun, this time too."""
        return self.number + 1

    def held(self) -> bool:
        """Whether it is still this process's, by looking."""
        if not self.lost and (_path(self.folder, self.trial, self.number + 1)).exists():
            self.lost = True
        return not self.lost

    def release(self, note: str = "released") -> None:
        """Give it up: whoever comes next may have the trial at once."""
        self._end.set()
        self._thread.join()
        self._file.seek(0)
        self._file.truncate()
        json.dump({**_who(), "ended": note}, self._file)
        self._file.close()

    def _beating(self) -> None:
        while not self._end.wait(BEAT):
            try:
                os.utime(self.path)
            except OSError:
                self.lost = True  # the folder went away
            if not self.held():
                return


def claim(folder: SweepFolder, trial: str, lost_after: float = LOST_AFTER) -> Claim | None:
    """Take a trial; None if it is done, or another process has it and lives.

    lost_after: seconds without a heartbeat after which another machine's process is dead.
    """
    folder.claims.mkdir(parents=True, exist_ok=True)
    number = newest(folder, trial)
    if number >= 0 and alive(_path(folder, trial, number), lost_after):
        return None
    if folder.run(trial).locked():
        return None  # a dead claim, whose process trains none the less, or a `resume` by hand
    if (folder.results / f"{trial}.json").exists():
        return None
    try:
        file = _path(folder, trial, number + 1).open("x+", encoding="utf8")
    except FileExistsError:
        return None  # someone was quicker
    fcntl.flock(
        file, fcntl.LOCK_EX
    )  # before it says whose it is; `_locked` holds it for an instant
    json.dump(_who(), file)
    file.flush()
    mine = Claim(folder, trial, number + 1, file)
    if (folder.results / f"{trial}.json").exists():  # written between the look and the claim
        mine.release("done before")
        return None
    return mine


def newest(folder: SweepFolder, trial: str) -> int:
    """The highest number of a trial's claims; −1 if there was none."""
    number = -1
    while _path(folder, trial, number + 1).exists():
        number += 1
    return number


def taken(folder: SweepFolder, trial: str, lost_after: float = LOST_AFTER) -> bool:
    """Whether a process that lives has the trial."""
    number = newest(folder, trial)
    if number >= 0 and alive(_path(folder, trial, number), lost_after):
        return True
    return folder.run(trial).locked()


def alive(path: Path, lost_after: float = LOST_AFTER) -> bool:
    """Whether the process of a claim still lives, as far as can be seen."""
    try:
        who = _read(path)
        if "ended" in who:
            return False
        if who.get("machine") == _machine() and not _locked(path):
            return False  # on this machine no lock means no process
        return _now(path.parent) - path.stat().st_mtime < lost_after
    except FileNotFoundError:
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf8"))
    except ValueError:
        return {}  # just made, not written yet
    return found if isinstance(found, dict) else {}


def _now(folder: Path) -> float:
    """The time by the clock of the machine that keeps the folder, as its heartbeats have it."""
    probe = folder / f".now.{machine_name()}.{os.getpid()}.{threading.get_ident()}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _locked(path: Path) -> bool:
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def machine_name() -> str:
    return os.uname().nodename


def _machine() -> str:
    """This machine since it was started: after a restart no process of before lives."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{machine_name()} {boot.read_text().strip() if boot.is_file() else ''}"


def _who() -> dict[str, Any]:
    return {"machine": _machine(), "pid": os.getpid(), "since": round(time.time(), 1)}


def _path(folder: SweepFolder, trial: str, number: int) -> Path:
    return folder.claims / f"{trial}.{number}"
