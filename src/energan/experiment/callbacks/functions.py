"""A user's function as a callback: it sees the figures, and may end the training."""

from collections.abc import Callable

from energan.training.hooks import Figures
from energan.training.loop import Hook
from energan.training.train_state import TrainState

Function = Callable[[int, Figures], object]
"""Called with (step, figures); a true result ends the training."""


class FunctionCallback(Hook):
    """A hook and a listener that calls a function with each event of figures.

    What the function gives decides: if it is true, the training ends after this step, with a
    checkpoint, as a run that was stopped and can be resumed.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.loop: TrainState | None = None

    def start(self, loop: TrainState) -> None:
        self.loop = loop

    def __call__(self, step: int, figures: Figures) -> None:
        if self.function(step, dict(figures)) and self.loop is not None:
            # several processes tell each other the names of signals
            self.loop.stop_signal = "callback" if self.loop.ranks.count == 1 else "SIGTERM"
