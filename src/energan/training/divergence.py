"""Chains that blow up, noticed while all numbers are still finite (docs/guides/health.md).

An energy whose slope outgrows the step of its chains drives them uphill, learns from where they
end, and grows for hundreds of steps before a float overflows; checkpoints of that time are worth
nothing. So the figures of models whose fakes come from chains are compared with their own recent
past, before a checkpoint is written. Models that log no `chain_gradient` are left alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from energan.core import BlowUpError
from energan.training.history import History, add_event, figures_of, last_figures
from energan.training.hooks import Figures, Log, due
from energan.training.loop import Hook
from energan.training.train_state import TrainState

Size = Callable[[Figures], float]
"""A figure, or made of some."""

WATCHED = (
    "energy_real", "energy_fake", "gradient_energy", "chain_gradient", "chain_saturation",
    "data_saturation", "chain_age", "chain_acceptance",
)  # fmt: skip
RECENT = 20
"""Log events whose median is a figure's usual size. It lags behind exponential growth by half of
them, and a single outlier hardly changes it."""
LEAST_GAP, MOST_GAP = 20.0, 100.0
"""Limits of a gap that is not an explosion whatever was usual, depending on the penalty."""

SATURATED, SATURATED_EVENTS = 0.05, 3
"""Chains are saturated if, for so many events in a row, a smaller fraction of their coordinates is
inside the bounds than this fraction of the data's."""
TWO_VALUED = 0.01
"""Data with a smaller fraction of coordinates inside the bounds is not compared."""
DEAD, DEAD_EVENTS, DEAD_STEPS = 1e-3, 10, 500
"""Chains are dead if their gradient stays below this fraction of its median for so many events and
steps."""
REFUSED, YOUNG, STUCK_FOR = 0.05, 0.1, 5
"""Chains are stuck if, for so many events, fewer than this fraction of their moves is accepted.
They are lost if their mean age stays below this fraction of its median: all were restarted."""


@dataclass(frozen=True)
class Window:
    """What the rules see: the present figures, those before, the steps between log events.

    penalty: the weight l of l·(U(real)² + U(fake)²), None where the model has none.
    """

    now: Figures
    past: History
    every: int
    penalty: float | None = None

    def last(self, count: int, name: str) -> list[Figures]:
        """`count` events, the present one the last; none if they are fewer or lack a figure."""
        return last_figures([*self.past[-count:], (0, self.now)], count, name)

    def since(self, count: int) -> int:
        """The step at which the window of the first of `count` events began."""
        return max(self.past[len(self.past) - count + 1][0] - self.every, 0)


@dataclass(frozen=True)
class BlowUp:
    """What blew up, in words with the numbers; `since`: the last step before it began."""

    says: str
    since: int


def gap(figures: Figures) -> float:
    return abs(figures["energy_fake"] - figures["energy_real"])


def level(figures: Figures) -> float:
    return max(abs(figures["energy_fake"]), abs(figures["energy_real"]))


def no_gap(penalty: float | None) -> float:
    """A gap that is no explosion, whatever was usual.

    The loss U(real) − U(fake) + l·(U(real)² + U(fake)²) is least at U = ∓1/2l, so that a sound run
    may grow to a gap of 1/l, some within a few log events.
    """
    return MOST_GAP if not penalty else min(max(1 / penalty, LEAST_GAP), MOST_GAP)


def exploded(window: Window) -> BlowUp | None:
    """A figure is many times as large as usual, and larger than what is no explosion anyway."""
    sizes: list[tuple[str, Size, tuple[str, ...], float, float]] = [
        ("the energy gap |U(fake) − U(real)|", gap, ("energy_fake", "energy_real"), 10,
         no_gap(window.penalty)),
        # the level of both is nothing to the chains, and wanders where no penalty holds it
        ("the energy |U|", level, ("energy_fake", "energy_real"), 20, 200),
        ("the norm of the chains' gradient", lambda f: f["chain_gradient"], ("chain_gradient",),
         20, 100),
        ("the norm of the weights' gradient", lambda f: f["gradient_energy"], ("gradient_energy",),
         20, 1000),
    ]  # fmt: skip
    for what, size, names, times, floor in sizes:
        if not all(name in window.now for name in names):
            continue
        recent = [size(f) for _, f in window.past[-RECENT:] if all(name in f for name in names)]
        usual = median(recent) if recent else 0.0
        limit = max(times * usual, floor)
        if size(window.now) > limit:
            return BlowUp(
                f"{what} rose to {size(window.now):.3g} (usual before: {usual:.3g}, limit: "
                f"{limit:.3g})",
                window.past[-1][0] if window.past else 0,
            )
    return None


def saturated(window: Window) -> BlowUp | None:
    """Nearly every coordinate of the chains lies at a bound of the range, unlike the data's."""
    last = window.last(SATURATED_EVENTS, "chain_saturation")
    free = [(1 - f["chain_saturation"], 1 - f["data_saturation"]) for f in last]
    if not free or not all(d > TWO_VALUED and chains < SATURATED * d for chains, d in free):
        return None
    return BlowUp(
        f"the chains are saturated: {free[-1][0]:.2%} of their coordinates are inside the "
        f"bounds of the range (of the data's: {free[-1][1]:.2%})",
        window.since(SATURATED_EVENTS),
    )


def stuck(window: Window) -> BlowUp | None:
    """Hardly a move is accepted, or hardly a chain lives on from one step to the next."""
    last = window.last(STUCK_FOR, "chain_acceptance")
    if last and all(f["chain_acceptance"] < REFUSED for f in last):
        return BlowUp(
            f"the chains are stuck: {window.now['chain_acceptance']:.2%} of their moves are "
            "accepted",
            window.since(STUCK_FOR),
        )
    last = window.last(STUCK_FOR, "chain_age")
    earlier = [f["chain_age"] for _, f in window.past[: -STUCK_FOR + 1] if "chain_age" in f]
    if not last or len(earlier) < RECENT:
        return None
    usual = median(earlier[-RECENT:])
    if not all(f["chain_age"] < YOUNG * usual for f in last):
        return None
    return BlowUp(
        "the replay buffer lost its chains: their mean age fell to "
        f"{window.now['chain_age']:.3g} steps (usual before: {usual:.3g})",
        window.since(STUCK_FOR),
    )


def dead(window: Window) -> BlowUp | None:
    """The energy is flat where the chains are, so that nothing but noise moves them, for long."""
    count = max(DEAD_EVENTS, -(-DEAD_STEPS // window.every))
    last = window.last(count, "chain_gradient")
    earlier = window.past[: len(window.past) - count + 1]
    if not last or not earlier:
        return None
    usual = median(figures["chain_gradient"] for _, figures in earlier)
    if not max(f["chain_gradient"] for f in last) < DEAD * usual:
        return None
    return BlowUp(
        "the chains are dead: the norm of their gradient fell to "
        f"{window.now['chain_gradient']:.3g} (usual before: {usual:.3g}) for "
        f"{count * window.every} steps",
        window.since(count),
    )


RULES: dict[str, Callable[[Window], BlowUp | None]] = {
    "exploded": exploded,
    "saturated": saturated,
    "stuck": stuck,
    "dead": dead,
}


class Guard(Hook):
    """A listener of `log`, on every rank, and a hook between it and the checkpoints.

    Raises BlowUpError, from which `Rollback` goes back. It judges the means of each log event and,
    where a checkpoint is due, the last step by itself, which a mean may hide.
    """

    def __init__(self, log: Log, checkpoint_every: int) -> None:
        self.log, self.checkpoint_every = log, checkpoint_every
        self.history: History = []

    def start(self, loop: TrainState) -> None:
        """Read what the run logged before a resume: it goes on as if it had not stopped."""
        self.history = []
        for event in loop.ranks.choose(lambda: self.log.folder.read("step")):
            self(event["step"], figures_of(event))

    def __call__(self, step: int, figures: Figures) -> None:
        """One event more. The short ones of a run that was told to stop do not count: one that was
        not has none."""
        if "chain_gradient" in figures and due(step, self.log.every):
            add_event(self.history, step, _watched(figures))

    def step(self, loop: TrainState) -> None:
        self._look(loop, due(loop.step, self.checkpoint_every))

    def finish(self, loop: TrainState) -> None:
        self._look(loop, saving=True)

    def _look(self, loop: TrainState, saving: bool) -> None:
        """Judge the event of this step, if there is one, and this step if it is to be saved."""
        history, every = self.history, self.log.every
        penalty = loop.scheduled("energy_l2", loop.step)
        past = history
        if history and history[-1][0] == loop.step:
            past = history[:-1]
            for rule in RULES.values():
                _stop_if(rule(Window(history[-1][1], past, every, penalty)), loop.step)
        if saving:
            self.log.collect(loop.flush_figures())
            _stop_if(exploded(Window(_watched(self.log.latest), past, every, penalty)), loop.step)


def _watched(figures: Figures) -> Figures:
    """What is compared, rounded as events are, so that a resumed run sees the same; none of models
    without chains."""
    if "chain_gradient" not in figures:
        return {}
    return {name: float(f"{figures[name]:.6g}") for name in WATCHED if name in figures}


def _stop_if(found: BlowUp | None, step: int) -> None:
    if found is not None:
        raise BlowUpError(f"{found.says} at step {step}", found.since)
