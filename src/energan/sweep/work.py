"""Working on trials: claim, train, score, keep the record. What a trial does wrong is recorded."""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from energan.core import EnerganError
from energan.sweep.claiming import Claim, claim
from energan.sweep.folder import Record, SweepFolder
from energan.sweep.keeping import tidy
from energan.sweep.scoring import ENDS, failed, record_of
from energan.sweep.setup import Setup
from energan.sweep.training import train
from energan.sweep.trials import Trial
from energan.sweep.watch import BusyError, TakenAwayError, Tell, Watch


def silent(event: dict[str, Any]) -> None:
    return


def work(
    folder: SweepFolder, package: Sequence[Trial], setup: Setup, tell: Tell = silent
) -> str | None:
    """Train and score what of the package is neither done nor another's; as a cohort if several.

    A trial's error is recorded, never raised; one of the machine (no memory, a full disk) is
    raised, since another may do the trial. Returns the name of the signal that stopped it, None if
    nothing did.

    It tells `begun` (trials, at_once), `progress` (trials, step, steps), `scoring` (trials),
    `ended` (trial, state, reason, score, seconds) and `left` (trials, why: "done", "elsewhere",
    "stopped" or "taken away").
    """
    claims: dict[str, Claim] = {}
    try:
        for trial in package:
            if (taken := claim(folder, trial.id, setup.lost_after)) is not None:
                claims[trial.id] = taken
                continue
            why = "elsewhere" if folder.read(trial.id) is None else "done"
            tell({"event": "left", "trials": [trial.id], "why": why})
        mine = [trial for trial in package if trial.id in claims]
        return _Work(folder, setup, tell, claims).through(mine) if mine else None
    finally:
        for taken in claims.values():
            taken.release()


def give_up(
    folder: SweepFolder, trial: Trial, setup: Setup, reason: str, tell: Tell = silent
) -> bool:
    """Record as failed a trial that takes its process with it; False if another process has it."""
    held = claim(folder, trial.id, setup.lost_after)
    if held is None:
        return False
    folder.write(failed(trial, setup, held.attempts, reason))
    held.release()
    tell(
        {
            "event": "ended",
            "trial": trial.id,
            "state": "failed",
            "reason": reason,
            "score": None,
            "seconds": 0.0,
        }
    )
    return True


class _Work:
    def __init__(
        self, folder: SweepFolder, setup: Setup, tell: Tell, claims: dict[str, Claim]
    ) -> None:
        self.folder, self.setup, self.tell, self.claims = folder, setup, tell, claims

    def through(self, trials: Sequence[Trial]) -> str | None:
        """Work on trials that are claimed; the name of the signal that stopped it."""
        ids = [trial.id for trial in trials]
        self.tell({"event": "begun", "trials": ids, "at_once": len(ids)})
        claims = [self.claims[trial.id] for trial in trials]
        stopped = None
        try:
            train(self.folder, trials, self.setup, Watch(claims, self.tell))
            stopped = self._stopped(trials)
        except (TakenAwayError, BusyError) as error:
            why = "elsewhere" if isinstance(error, BusyError) else "taken away"
            self.tell({"event": "left", "trials": ids, "why": why})
            return None
        except KeyboardInterrupt:  # outside the loop, which minds signals itself
            stopped = "SIGINT"
        except Exception as error:
            if len(trials) == 1:
                _raise_machines(error)
                self._keep(failed(trials[0], self.setup, claims[0].attempts, _told(error)))
                return None
            # too large together, or no cohort after all
            return next((told for t in trials if (told := self.through([t]))), None)
        if stopped is None:
            stopped = self._score(trials)
        if stopped is not None:
            self.tell({"event": "left", "trials": ids, "why": "stopped"})
        return stopped

    def _stopped(self, trials: Sequence[Trial]) -> str | None:
        """The signal by which their training ended, if it did."""
        for trial in trials:
            events = self.folder.run(trial.id).read()
            last = next((e for e in reversed(events) if e["event"] in ENDS), None)
            if last is not None and last["event"] == "stopped":
                return str(last["reason"])
        return None

    def _score(self, trials: Sequence[Trial]) -> str | None:
        self.tell({"event": "scoring", "trials": [trial.id for trial in trials]})
        for trial in trials:
            attempts = self.claims[trial.id].attempts
            try:
                run = self.folder.run(trial.id)
                record = record_of(trial, run, self.setup, attempts)
            except KeyboardInterrupt:
                return "SIGINT"
            except Exception as error:
                _raise_machines(error)
                record = failed(trial, self.setup, attempts, _told(error))
            self._keep(record)
        return None

    def _keep(self, record: Record) -> None:
        """Write the record, unless the trial is another's by now."""
        trial = record["id"]
        if not self.claims[trial].held() or not self.folder.write(record):
            self.tell({"event": "left", "trials": [trial], "why": "taken away"})
            return
        tidy(self.folder, record, self.setup)
        self.tell(
            {
                "event": "ended",
                "trial": trial,
                "state": record["state"],
                "reason": record["reason"],
                "score": record["scores"].get(record["metric"], {}).get("value"),
                "seconds": record.get("seconds", 0.0) + record.get("scoring_seconds", 0.0),
            }
        )


def _raise_machines(error: Exception) -> None:
    """Raise it again if it is the machine's, not the trial's."""
    if isinstance(error, OSError | MemoryError) or "out of memory" in str(error).lower():
        raise error


def _told(error: Exception) -> str:
    """An error in a sentence: a user's as it is, another with its kind and where it came from."""
    if isinstance(error, EnerganError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
