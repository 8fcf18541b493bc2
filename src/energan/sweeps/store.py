"""A sweep's folder: its trials and their records. Nothing here needs torch.

sweeps/NAME/
    sweep.json                what was asked for: the recipe, the axes, how trials are scored
    results/ID.json           one trial's record, written once
    queue/ID.json             a trial as its process takes it, and how often it was begun
    logs/ID.txt               what the process of a trial, or of a cohort's first, printed
    trials/ID/                the trial's run, as `energan train` writes it, mostly without weights
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from energan.errors import RunError
from energan.io.documents import Document, as_document, read_json
from energan.io.files import locked, write_atomically
from energan.io.run_folder import RunFolder
from energan.sweeps.grid import Values

Record = dict[str, Any]
"""A trial's record: id, state ("done", "diverged" or "failed"), reason, values, scores, times."""
Definition = dict[str, Any]
"""What sweep.json holds: what was asked for in the folder, by all commands together."""
Keep = Literal["best", "all", "none"]
SAMPLES = 10_000
DEFINITION = "sweep.json"


class MetricScore(Document):
    value: float | None = None
    low: float | None = None
    high: float | None = None
    better: Literal["higher", "lower"] | None = None


class TrialRecord(Document):
    """What of a record the commands rely on."""

    id: str
    state: Literal["done", "diverged", "failed"] = "done"
    reason: str | None = None
    values: dict[str, Any] = Field(default_factory=dict)
    metric: str | None = None
    scores: dict[str, MetricScore] = Field(default_factory=dict)
    steps: int | None = None
    seconds: float | None = None
    scoring_seconds: float | None = None
    cohort: int | None = None
    host: str | None = None


class Example(Document):
    id: str
    values: dict[str, Any]


class SweepDefinition(Document):
    """What of sweep.json the commands rely on."""

    name: str
    recipe: str
    axes: dict[str, list[Any]]
    trials: list[str]
    metrics: list[str] = Field(default_factory=list)
    samples: int | None = None
    count: int | None = None
    words: str = ""
    example: Example | None = None


@dataclass(frozen=True)
class TrialOptions:
    """How trials are worked on: nothing here changes the result of one.

    sweep: its name. metrics: scores of a trial, the first ranks. samples: drawn for a score.
    threads: of each process; all cores if not given. keep: whose checkpoints stay. save_every:
    steps between checkpoints, from which a trial goes on after an interruption; 0 for none.
    """

    sweep: str
    metrics: tuple[str, ...]
    samples: int = SAMPLES
    threads: int | None = None
    keep: Keep = "best"
    save_every: int = 0


class SweepFolder:
    """Paths and records of one sweep."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.results = self.path / "results"
        self.queue = self.path / "queue"
        self.trials = self.path / "trials"
        self.logs = self.path / "logs"

    def check_path(self) -> None:
        """Raise RunError if there is something else at the path."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file; name a folder for the sweep")
        if (self.path / "config.json").exists():
            raise RunError(f"{self.path} holds a run; name another folder for the sweep")

    def make(self) -> None:
        """Make the folders. Raises RunError if there is something else, or no locks, there."""
        self.check_path()
        for folder in (self.results, self.queue, self.trials, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            with self.alone():
                pass
        except (OSError, NotImplementedError) as error:
            raise RunError(
                f"{self.path} is on a file system without locks ({error}), which a sweep needs: "
                "choose another folder (--out)"
            ) from None

    def run(self, trial: str) -> RunFolder:
        """The folder of a trial's run, which may not be there."""
        return RunFolder(self.trials / trial)

    @contextmanager
    def driver(self, shard: str | None = None) -> Iterator[None]:
        """Within it no other `energan sweep` works on the folder, or on this shard of it.

        Raises RunError if one does.
        """
        name = f".driver-{shard.replace('/', '-of-')}.lock" if shard else ".driver.lock"
        with locked(self.path / name, wait=0) as held:
            if not held:
                part = f"shard {shard} of {self.path}" if shard else str(self.path)
                raise RunError(
                    f"another `energan sweep` is working on {part}: wait for it or stop it, or "
                    "divide the trials with --shard"
                )
            yield

    def alone(self) -> AbstractContextManager[bool]:
        """Of commands and trials that write at once, one after the other."""
        return locked(self.path / ".lock")

    # --- what was asked for -----------------------------------------------------------------------

    def definition(self) -> Definition | None:
        """sweep.json, None if there is none. Raises RunError if it is damaged."""
        remedy = "remove it, and start the sweep again"
        return _checked(self.path / DEFINITION, SweepDefinition, remedy)

    def check(self, asked: Definition, id_of: Callable[[Values], str]) -> None:
        """Raise RunError if the folder holds what does not belong together with what is asked.

        id_of: the values of a trial -> its id by what is asked now. The values of a trial that was
        asked for before must give the id that they gave: else steps, data or a setting are others.
        An axis may have got more values.
        """
        self.check_path()
        old = self.definition()
        if old is None:
            return
        held, other = f"{self.path} holds", "name another folder (--out)"
        if old["name"] != asked["name"]:
            raise RunError(f"{held} the sweep {old['name']}, not {asked['name']}; {other}")
        if old["recipe"] != asked["recipe"] or set(old["axes"]) != set(asked["axes"]):
            raise RunError(
                f"{held} a sweep of the same name with another recipe or other axes; {other}"
            )
        before = (
            f"repeat the same sweep (energan sweep {old.get('words', old['name'])}), or {other}"
        )
        example = old.get("example")
        if example is not None and id_of(example["values"]) != example["id"]:
            raise RunError(
                f"{held} trials of {old['name']} with other settings or other data: {before}"
            )
        if "samples" in old and any(old[name] != asked[name] for name in ("metrics", "samples")):
            raise RunError(
                f"{held} trials that are scored by {', '.join(old['metrics'])} of "
                f"{old['samples']} samples: {before}"
            )

    def write_definition(self, asked: Definition) -> None:
        """Write what is asked, with the trials that were asked for before.

        Two commands that begin at once do not lose each other's trials.
        """
        with self.alone():
            old = self.definition()
            trials = [*(old["trials"] if old else ()), *asked["trials"]]
            whole = {**asked, "trials": list(dict.fromkeys(trials))}
            text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
            write_atomically(self.path / DEFINITION, text)

    # --- records ----------------------------------------------------------------------------------

    def done(self) -> set[str]:
        """The ids of all trials that have a record, also of those that failed."""
        return {p.stem for p in self.results.glob("*.json") if not p.name.startswith(".")}

    def read(self, trial: str) -> Record | None:
        """A trial's record; None if it has none. Raises RunError if it is damaged."""
        remedy = "remove it, and the trial runs again"
        return _checked(self.results / f"{trial}.json", TrialRecord, remedy)

    def records(self, trials: Iterable[str] | None = None) -> list[Record]:
        """The records there are, of these trials or of all, in the order of their ids."""
        wanted = sorted(self.done() if trials is None else self.done() & set(trials))
        return [record for trial in wanted if (record := self.read(trial)) is not None]

    def write(self, record: Record) -> bool:
        """Keep a trial's record; False if it has one already, which stays as it is."""
        target = self.results / f"{record['id']}.json"
        with self.alone():
            if target.exists():
                return False
            write_atomically(target, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        return True

    def forget(self, trials: Iterable[str]) -> int:
        """Remove the records of those that failed or diverged: they run again. How many."""
        count = 0
        for trial in trials:
            record = self.read(trial)
            if record is not None and record["state"] != "done":
                shutil.rmtree(self.run(trial).path, ignore_errors=True)  # else it stands as ended
                (self.results / f"{trial}.json").unlink(missing_ok=True)
                count += 1
        return count

    def tidy(self, record: Record, keep: Keep) -> None:
        """Throw away the checkpoints that a record which was just written makes useless.

        keep best: those of this trial, unless it is the best of its sweep; then those of the
        others. Called after the record is there, so that of two trials that end at once the better
        one stays.
        """
        if keep == "all" or record["state"] != "done":
            return
        # the best until now has its checkpoints: only those that have some are read
        kept = {p.parent.name for p in self.trials.glob("*/checkpoints")} | {record["id"]}
        best = best_of(r for r in self.records(kept) if r["sweep"] == record["sweep"])
        stays = best["id"] if keep == "best" and best is not None else None
        weighed = kept if stays == record["id"] else {record["id"]}
        for trial in weighed:
            if trial != stays and self.read(trial) is not None:  # one without a record still trains
                shutil.rmtree(self.run(trial).checkpoints, ignore_errors=True)

    # --- what processes are given -----------------------------------------------------------------

    def enqueue(self, trial: dict[str, Any], options: TrialOptions) -> None:
        """Keep what the process of a trial needs. trial: as `Trial.record` gives it."""
        attempts = self.attempts(trial["id"])
        self._write_queued({"trial": trial, "options": asdict(options), "attempts": attempts})

    def begin(self, trial: str, host: str) -> tuple[dict[str, Any], TrialOptions]:
        """Count one more attempt, at `host`; what `enqueue` was given.

        Raises RunError if the trial was never put there.
        """
        queued = self._queued(trial)
        if not queued:
            raise RunError(
                f"{self.queue / trial}.json is missing: start trials with `energan sweep`"
            )
        queued |= {"attempts": queued["attempts"] + 1, "host": host}
        self._write_queued(queued)
        options = queued["options"]
        return queued["trial"], TrialOptions(**{**options, "metrics": tuple(options["metrics"])})

    def attempts(self, trial: str) -> int:
        """How often the trial was begun."""
        return int(self._queued(trial).get("attempts", 0))

    def host(self, trial: str) -> str | None:
        """Where the trial was begun since it was put into the queue; None if it was not."""
        return self._queued(trial).get("host")

    def _queued(self, trial: str) -> dict[str, Any]:
        try:
            found = json.loads((self.queue / f"{trial}.json").read_text(encoding="utf8"))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write_queued(self, queued: dict[str, Any]) -> None:
        write_atomically(self.queue / f"{queued['trial']['id']}.json", json.dumps(queued))


def find_sweeps(root: Path) -> list[SweepFolder]:
    """Sweeps in `root`, down to two folders deep, by name."""
    patterns = ("sweep.json", "*/sweep.json", "*/*/sweep.json")
    found = {path.parent for pattern in patterns for path in root.glob(pattern)}
    return [SweepFolder(path) for path in sorted(found) if (path / "results").is_dir()]


def score_of(record: Record) -> float | None:
    """The score that ranks a trial, larger is better; None if it has none."""
    found = record["scores"].get(record["metric"], {})
    value = found.get("value")
    if record["state"] != "done" or value is None or not math.isfinite(value):
        return None
    return float(-value if found.get("better") == "lower" else value)


def best_of(records: Iterable[Record]) -> Record | None:
    """The record of the best score, of equal ones that of the lowest id; None if there is none."""
    ranked = [(score, r["id"], r) for r in records if (score := score_of(r)) is not None]
    return min(ranked, key=lambda one: (-one[0], one[1]))[2] if ranked else None


def _checked(path: Path, kind: type[Document], remedy: str) -> dict[str, Any] | None:
    """What a file holds, once it fits its document; None if it is not there."""
    if not path.exists():
        return None
    found: dict[str, Any] = read_json(path, remedy=remedy)
    as_document(found, kind, path, remedy=remedy)
    return found
