"""What looks at trials while they train: it tells progress, and lets go of what was taken away."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from energan.core import EnerganError
from energan.sweep.claiming import Claim
from energan.training.loop import Hook
from energan.training.train_state import TrainState

Tell = Callable[[dict[str, Any]], None]
"""Told what happens, an event at a time; their names are in `work`."""
EVERY = 1.0
"""Seconds between two looks."""


class TakenAwayError(EnerganError):
    """Another process has the trial, since this one seemed dead."""


class BusyError(EnerganError):
    """Another process trains the trial, though it has no claim that counts."""


class Watch(Hook):
    """Leads the other hooks: nothing is written of a trial that is another's by now."""

    def __init__(self, claims: Sequence[Claim], tell: Tell) -> None:
        self.claims, self.tell = claims, tell
        self._looked = 0.0

    def start(self, loop: TrainState) -> None:
        self._look(loop)

    def step(self, loop: TrainState) -> None:
        if time.monotonic() - self._looked >= EVERY:
            self._look(loop)

    def _look(self, loop: TrainState) -> None:
        self._looked = time.monotonic()
        for claim in self.claims:
            if not claim.held():
                raise TakenAwayError(f"trial {claim.trial} was taken over by another process")
        trials = [claim.trial for claim in self.claims]
        self.tell(
            {
                "event": "progress",
                "trials": trials,
                "step": loop.step,
                "steps": loop.settings.steps,
            }
        )
