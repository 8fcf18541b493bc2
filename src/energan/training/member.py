"""A member of a cohort as its hooks see it: a loop of its own.

Log, checkpoints, scores and pictures are written for a single run. They are handed a `Member`: its
networks, averages, optimiser and sampler state are the member's part of the cohort's, the same
memory.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from torch import Tensor

from energan.core import DivergenceError, Model, State
from energan.training.cohort import share
from energan.training.loop import Hook, Loop
from energan.training.train_state import StatisticsFeed, StepFigures, TrainState

OnDivergence = Callable[["Member", DivergenceError], None]
"""Called once with a member that diverged."""


class Member(TrainState):
    """Member `index` of the cohort `whole`, which alone moves it on.

    model: the member's own, whose networks become views of the cohort's. statistics_feed: of its
    seed. Its step, rate scale and sampler state are the cohort's, read and written there. It is
    made before the cohort trains, or is put back to a checkpoint.
    """

    def __init__(
        self, whole: Loop, index: int, model: Model, statistics_feed: StatisticsFeed
    ) -> None:
        seed = whole.randomness.seeds[index]
        super().__init__([model], statistics_feed, whole.settings, whole.engine, [seed])
        self.whole, self.index = whole, index
        self.hooks: list[Hook] = []
        self.read: StepFigures = []
        self.cohort: Sequence[Member] = [self]
        """Members that get their figures when this one asks for its own."""
        self.optimisers = {name: own.member(index) for name, own in whole.optimisers.items()}
        for own, stacked in zip(self.versions(), whole.versions(), strict=True):
            share(own, stacked, index)
        if self.ema is not None and whole.ema is not None:
            self.ema.n_averaged.data = whole.ema.n_averaged.data

    @property
    def step(self) -> int:
        return self.whole.step

    @step.setter
    def step(self, step: int) -> None:
        self.whole.step = step

    @property
    def stop_signal(self) -> str | None:
        return self.whole.stop_signal

    @stop_signal.setter
    def stop_signal(self, signal: str | None) -> None:
        self.whole.stop_signal = signal

    @property
    def stopping(self) -> str | None:  # type: ignore[override]
        return self.whole.stopping

    @property
    def rate_scale(self) -> Tensor:
        return self.whole.rate_scale[self.index : self.index + 1]

    @rate_scale.setter
    def rate_scale(self, scale: Tensor) -> None:
        self.whole.rate_scale[self.index] = scale.item()

    @property
    def state(self) -> State:
        return {name: value[self.index] for name, value in self.whole.state.items()}

    @state.setter
    def state(self, state: State) -> None:
        for name, value in state.items():
            self.whole.state[name][self.index].copy_(value)

    @property
    def objective_state(self) -> State:
        return {name: value[self.index] for name, value in self.whole.objective_state.items()}

    @objective_state.setter
    def objective_state(self, state: State) -> None:
        for name, value in state.items():
            self.whole.objective_state[name][self.index].copy_(value)

    def flush_figures(self) -> StepFigures:
        """Its own figures (1,) since the last call; DivergenceError once it has diverged."""
        _hand_out(self.whole, self.cohort)
        read, self.read = self.read, []
        if self.index in self.whole.diverged:
            raise DivergenceError(self.whole.diverged[self.index])
        return read

    def drop_figures(self) -> None:
        self.read = []

    def drop_member(self, member: int, reason: str) -> None:
        """Take it out of the cohort. Raises DivergenceError."""
        self.whole.drop_member(self.index, reason)
        raise DivergenceError(reason)


def _hand_out(whole: Loop, members: Sequence[Member]) -> None:
    """Read the cohort's figures, and give each member its own."""
    try:
        read = whole.flush_figures()
    except DivergenceError:  # the last one left; each is told so when it asks
        return
    for member in members:
        i = member.index
        member.read += [
            (step, {name: values[i : i + 1] for name, values in figures.items()})
            for step, figures in read
        ]


class Members(Hook):
    """Leads the hooks of every member, `Member.hooks`, as if each trained by itself.

    A member that diverges leaves, and the others go on. Raises DivergenceError once none is left.
    """

    def __init__(self, members: Sequence[Member], on_divergence: OnDivergence) -> None:
        self.members, self.on_divergence = list(members), on_divergence
        self.living = list(members)
        for member in members:
            member.cohort = members

    def start(self, loop: TrainState) -> None:
        self._lead(lambda hook, member: hook.start(member))

    def step(self, loop: TrainState) -> None:
        self._lead(lambda hook, member: hook.step(member))

    def finish(self, loop: TrainState) -> None:
        self._lead(lambda hook, member: hook.finish(member))

    def close(self) -> None:
        for member in self.members:
            for hook in member.hooks:
                hook.close()

    def _lead(self, call: Callable[[Hook, Member], None]) -> None:
        for member in list(self.living):
            try:
                for hook in member.hooks:
                    call(hook, member)
            except DivergenceError as error:
                self._leave(member, error)
        if not self.living:
            raise DivergenceError("every member diverged")

    def _leave(self, member: Member, error: DivergenceError) -> None:
        self.living.remove(member)
        for hook in member.hooks:
            hook.rescue(member, error)
        with suppress(DivergenceError):  # the last one left
            member.whole.drop_member(member.index, str(error))
        self.on_divergence(member, error)
