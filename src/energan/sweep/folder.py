"""A sweep's folder, which any number of processes and machines share. Nothing here needs torch.

sweeps/NAME/
    sweep.json                what was asked for last: the recipe, the axes, how trials are scored
    results/ID.json           one trial's record, written once
    claims/ID.0, ID.1, …      who has a trial: the highest number counts
    logs/HOST-N.txt           what its processes said besides
    trials/ID/                the trial's run, as `energan train` writes it, mostly without weights
"""

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from energan.errors import RunError
from energan.io.files import write_atomically
from energan.io.run_folder import RunFolder

Record = dict[str, Any]
"""A trial's record: id, state ("done", "diverged" or "failed"), reason, values, scores, times."""


class SweepFolder:
    """Paths and records of one sweep."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.definition = self.path / "sweep.json"
        self.results = self.path / "results"
        self.claims = self.path / "claims"
        self.trials = self.path / "trials"

    def check(self) -> None:
        """Raise RunError if there is something else at the path."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file; name a folder for the sweep")
        if (self.path / "config.json").exists():
            raise RunError(f"{self.path} holds a run; name another folder for the sweep")

    def make(self) -> None:
        """Make the folders. Raises RunError if there is something else at the path."""
        self.check()
        for folder in (self.results, self.claims, self.trials):
            folder.mkdir(parents=True, exist_ok=True)
        self._try_out()

    def _try_out(self) -> None:
        """Raise RunError if the file system lacks what claims and records rest on."""
        own = f".{os.uname().nodename}.{os.getpid()}.{threading.get_ident()}"
        probe, link = self.claims / f"{own}.a", self.claims / f"{own}.b"
        try:
            with probe.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.link(probe, link)
        except OSError as error:
            raise RunError(
                f"{self.path} is on a file system without locks or hard links ({error.strerror}), "
                "which a sweep needs: name a folder elsewhere (--out)"
            ) from None
        finally:
            for path in (probe, link):
                path.unlink(missing_ok=True)

    def run(self, trial: str) -> RunFolder:
        """The folder of a trial's run, which may not be there."""
        return RunFolder(self.trials / trial)

    def done(self) -> set[str]:
        """The ids of all trials that have a record, also of those that failed."""
        if not self.results.is_dir():
            return set()
        return {p.stem for p in self.results.iterdir() if _is_record(p)}

    def read(self, trial: str) -> Record | None:
        """A trial's record; None if it has none."""
        try:
            record = json.loads((self.results / f"{trial}.json").read_text(encoding="utf8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise RunError(
                f"{self.results / trial}.json cannot be read ({error}); remove it, and the trial "
                "runs again"
            ) from None
        return record if isinstance(record, dict) else None

    def records(self, trials: Iterable[str] | None = None) -> list[Record]:
        """The records there are, of these trials or of all, in the order of their ids."""
        wanted = sorted(self.done() if trials is None else self.done() & set(trials))
        return [record for trial in wanted if (record := self.read(trial)) is not None]

    def write(self, record: Record) -> bool:
        """Keep a trial's record; False if it has one already, which stays as it is.

        A link is made or refused in one step, on shared folders too: of two processes that finish
        the same trial one writes.
        """
        self.results.mkdir(parents=True, exist_ok=True)
        target = self.results / f"{record['id']}.json"
        own = f"{os.uname().nodename}.{os.getpid()}.{threading.get_ident()}"
        aside = self.results / f".{record['id']}.{own}"
        write_atomically(aside, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        try:
            os.link(aside, target)
        except FileExistsError:
            return False
        finally:
            aside.unlink()
        return True

    def forget(self, trials: Iterable[str]) -> int:
        """Remove the records of those that failed or diverged: they run again. How many."""
        count = 0
        for trial in trials:
            record = self.read(trial)
            if record is None or record["state"] == "done":
                continue
            shutil.rmtree(self.run(trial).path, ignore_errors=True)  # else it would stand as ended
            (self.results / f"{trial}.json").unlink(missing_ok=True)
            count += 1
        return count


def _is_record(path: Path) -> bool:
    return path.suffix == ".json" and not path.name.startswith(".")
