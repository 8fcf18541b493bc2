"""The one loop. It knows an energy, a sampler and an objective, and nothing of any system."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from energan.core import Batch, DivergenceError, Loss, Model, SettingError, State, frozen
from energan.io.signals import say_at_once
from energan.training.capture import Eager, Given, Graphs, Passed
from energan.training.cohort import mask
from energan.training.contract_checks import check_scored, checked_draw, checked_loss
from energan.training.device import Device
from energan.training.distributed import ALONE, Distributed
from energan.training.optimisers import Optimisers
from energan.training.settings import TrainingSettings
from energan.training.train_state import StatisticsFeed, StepFigures, TrainState

Feed = Callable[[int, int, int], Batch]
"""(step, substep, substeps) -> a batch of real data, a pure function."""
NORMS_EVERY = 20
"""Steps between measurements of the gradients' norms, which read all gradients once more."""


class Hook:
    """Base class of callbacks. Each method receives the training state and may read anything in it.

    Hooks are called in the order of their list.
    """

    def start(self, loop: TrainState) -> None:
        """Called before the first step of this process."""

    def step(self, loop: TrainState) -> None:
        """Called after each step; `loop.step` is the number of steps done."""

    def rescue(self, loop: TrainState, error: DivergenceError) -> bool:
        """Called when a loss diverged: restore a sound state and return True, or return False."""
        return False

    def finish(self, loop: TrainState) -> None:
        """Called after the last step, or when training was asked to stop; not after an error."""

    def close(self) -> None:
        """Called at the very end, whatever happened."""


class Loop(TrainState):
    """Trains one model, or a cohort of models that differ in values and not in shapes.

    ranks: the processes that train together; the feed and settings.batch_size are this one's.
    Otherwise as of TrainState.
    """

    def __init__(
        self,
        models: Sequence[Model],
        feed: Feed,
        statistics_feed: StatisticsFeed,
        settings: TrainingSettings,
        engine: Device,
        seeds: Sequence[int],
        ranks: Distributed = ALONE,
    ) -> None:
        if ranks.count > 1 and len(models) > 1:
            raise SettingError("seeds train together in one process only: start without torchrun")
        super().__init__(models, statistics_feed, settings, engine, seeds, ranks)
        self.feed, self.objective = feed, models[0].objective
        self.hooks: list[Hook] = []
        self.optimisers = {
            "energy": Optimisers(self.energy, [m.energy_optimiser for m in models]),
            "sampler": Optimisers(self.sampler, [m.sampler_optimiser for m in models]),
        }
        self.step, self.rate_scale = 0, torch.ones(len(models))
        self.stop_signal = self.stopping = None
        self._pending: StepFigures = []
        captures = engine.captures and ranks.count == 1
        self.passes = Graphs(self.networks, self.randomness) if captures else Eager()
        self.state = self.sampler.init(self.context("init"))
        self.objective_state = self.objective.init(self.context("objective"))
        self._first_step = self.energy.register_forward_hook(check_scored, with_kwargs=True)

    @property
    def objective_state(self) -> State:
        return self.objective.state

    @objective_state.setter
    def objective_state(self, state: State) -> None:
        self.objective.state = state

    def run(self) -> None:
        """Train until `settings.steps`, or until `stop_signal` is set.

        Raises DivergenceError if a loss stops being finite and no hook rescues the loop.
        """
        try:
            for hook in self.hooks:
                hook.start(self)
            while True:
                try:
                    return self._run_to_the_end()
                except DivergenceError as error:
                    rescued = [hook.rescue(self, error) for hook in self.hooks]
                    if not any(rescued):
                        raise
        finally:
            for hook in self.hooks:
                hook.close()

    def _run_to_the_end(self) -> None:
        # Only what all agreed on ends the loop: one rank that left alone would leave the others
        # waiting for its gradients.
        self.stopping, begun = self.ranks.agree(self.stop_signal), self.step
        while self.step < self.settings.steps and self.stopping is None:
            self.advance()
            if self.step == begun + 1:
                self.check_states()
            for hook in self.hooks:
                hook.step(self)
            self.stopping = self.ranks.agree(self.stop_signal)
        for hook in self.hooks:
            hook.finish(self)

    def advance(self) -> None:
        """One step: k energy updates, then one of the sampler on the last of the draws."""
        context, learns = self.context(), self.sampler.learns(self.step)
        self.passes.begin((learns, self.sampler.phase(self.step)))
        figures: dict[str, Tensor] = {}
        for substep in range(self.energy_steps):
            batch = self.feed(self.step, substep, self.energy_steps)
            given = Given(batch, context, self.state, self.objective_state)
            do = partial(self._energy_pass, learns and substep == self.energy_steps - 1)
            passed = self.passes.run(f"energy {substep}", self.energy, do, given)
            self.state, self.objective_state = passed.state, passed.objective_state
            self._descend("energy", passed.figures, figures)
        draw = passed.draw
        if learns and draw is not None:
            given = Given(batch, context, objective_state=self.objective_state, draw=draw)
            passed = self.passes.run("sampler", self.sampler, self._sampler_pass, given)
            self.objective_state = passed.objective_state
            self._descend("sampler", passed.figures, figures)
        if draw is not None:
            figures |= draw.info
        self._first_step.remove()
        self.step += 1
        if self.ema is not None and self.step % self.settings.ema_every == 0:
            self.ema.update_parameters(self.networks)
        self._pending.append((self.step, self.passes.keep(figures)))

    def _energy_pass(self, trains_sampler: bool, given: Given) -> Passed:
        batch, context, self.objective_state = given.batch, given.context, given.objective_state
        with self.engine.autocast():
            with torch.set_grad_enabled(trains_sampler):
                drawn = self.sampler.draw(self.energy, batch, given.state, context)
            draw, state = checked_draw(self.sampler, drawn, batch, given.state, self.members)
            resting = draw.detach() if draw is not None else None
            loss = self.objective.energy_loss(self.energy, batch, resting, context)
        figures = self._backward("energy", loss)
        return Passed(figures, state, self.objective_state, draw)

    def _sampler_pass(self, given: Given) -> Passed:
        assert given.draw is not None
        self.objective_state = given.objective_state
        with frozen(self.energy):
            with self.engine.autocast():
                loss = self.objective.sampler_loss(
                    self.energy, given.batch, given.draw, given.context
                )
            figures = self._backward("sampler", loss)
        return Passed(figures, objective_state=self.objective_state)

    def _backward(self, network: str, loss: Loss) -> dict[str, Tensor]:
        """The gradient of a loss in the parameters of `network`, and the loss as figures."""
        loss = checked_loss(self.objective, f"{network}_loss", loss, self.members)
        self.optimisers[network].zero()
        if loss.total.requires_grad:  # an energy that is fitted in closed form has no gradient
            loss.total.sum().backward()  # members share no parameter, so the sum keeps them apart
        return {f"loss_{network}": loss.total.detach(), **loss.parts}

    def _descend(
        self, network: str, of_pass: Mapping[str, Tensor], figures: dict[str, Tensor]
    ) -> None:
        optimisers = self.optimisers[network]
        self.ranks.average(optimisers.gradients())
        if self.step % NORMS_EVERY == 0 and optimisers.gradients():
            figures[f"gradient_{network}"] = optimisers.norms()
        optimisers.step(self.step, self.rate_scale)
        figures |= of_pass

    def flush_figures(self) -> StepFigures:
        """Several ranks call it at the same steps and read the same means over all of them. This is
        the only place where numbers are waited for. A member that is not finite is masked, and its
        figures are NaN from then on."""
        pending, self._pending = self._pending, []
        read = _to_cpu(pending, self.ranks)
        for step, figures in read:
            for name, values in figures.items():
                for member in torch.nonzero(~values.isfinite()).flatten().tolist():
                    self.drop_member(member, f"{name} is not finite at step {step}")
        for _, figures in read:
            for values in figures.values():
                values[list(self.diverged)] = torch.nan
        return read

    def drop_member(self, member: int, reason: str) -> None:
        if member in self.diverged:
            return
        self.diverged[member] = reason
        if len(self.diverged) == self.members:
            raise DivergenceError(reason)
        self.rate_scale[member] = 0
        mask([p for v in self.versions() for p in v.parameters()], member)
        for optimisers in self.optimisers.values():
            optimisers.mask(member)

    def drop_figures(self) -> None:
        self._pending = []


def _to_cpu(pending: StepFigures, ranks: Distributed) -> StepFigures:
    """Figures (M,) on the CPU, averaged over the ranks, in one transfer of all."""
    parts = [value.reshape(-1) for _, figures in pending for value in figures.values()]
    if not parts:
        return []
    together = torch.cat(parts)
    if together.device.type != "mps":  # which has no doubles
        together = together.double()
    ranks.average([together])
    read = iter(together.cpu().double().split([len(part) for part in parts]))
    return [(step, {name: next(read) for name in figures}) for step, figures in pending if figures]


@contextmanager
def stop_on_signals(loop: Loop, answer: str = "") -> Iterator[None]:
    """Within it, SIGINT and SIGTERM let the loop finish its step; a second one is as usual.

    answer: said on stderr as soon as the first one comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {}

    def stop(number: int, frame: object) -> None:
        loop.stop_signal = signal.Signals(number).name
        signal.signal(number, before[signal.Signals(number)])
        if answer and loop.ranks.writes:
            say_at_once(answer)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
