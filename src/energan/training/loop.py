"""The one loop. It knows an energy, a sampler and an objective, and nothing of any system."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from energan.core import (
    Batch,
    Context,
    DivergenceError,
    Energy,
    Loss,
    Model,
    Randomness,
    Sampler,
    attach,
    frozen,
)
from energan.schedules import parse
from energan.training.calibrate import CHUNK, calibrate
from energan.training.cohort import stack
from energan.training.engine import Engine
from energan.training.optimisers import Stepper
from energan.training.settings import TrainingSettings

Feed = Callable[[int, int, int], Batch]
"""(step, substep, substeps) -> a batch of real data, a pure function."""


class Hook:
    """What watches a loop. It may read anything of it; hooks are called in the list's order."""

    def start(self, loop: "Loop") -> None:
        """Before the first step of this process."""

    def step(self, loop: "Loop") -> None:
        """After each step; `loop.step` counts the steps done."""

    def rescue(self, loop: "Loop", error: DivergenceError) -> bool:
        """Put a diverged loop right again and say True, or leave it."""
        return False

    def finish(self, loop: "Loop") -> None:
        """After the last step, or when the loop was asked to stop; not after an error."""


class Loop:
    """Trains one model, or a cohort of models that differ in values and not in shapes.

    models, seeds: one for each member. calibration: chunk number, chunk size -> real data at rest.
    """

    def __init__(
        self,
        models: Sequence[Model],
        feed: Feed,
        calibration: Callable[[int, int], Batch],
        settings: TrainingSettings,
        engine: Engine,
        seeds: Sequence[int],
        hooks: Sequence[Hook] = (),
    ) -> None:
        first = models[0]
        self.settings, self.engine, self.hooks = settings, engine, list(hooks)
        self.feed, self.calibration = feed, calibration
        self.objective, self.energy_steps = first.objective, first.energy_steps
        self.energy = stack([m.energy for m in models]).to(engine.device, engine.dtype)
        self.sampler = stack([m.sampler for m in models]).to(engine.device, engine.dtype)
        self.steppers = {
            "energy": Stepper(self.energy, [m.energy_optimiser for m in models]),
            "sampler": Stepper(self.sampler, [m.sampler_optimiser for m in models]),
        }
        self.networks = nn.ModuleDict({"energy": self.energy, "sampler": self.sampler})
        self.ema: AveragedModel | None = None
        if settings.ema:
            decay = settings.ema**settings.ema_every
            self.ema = AveragedModel(self.networks, multi_avg_fn=get_ema_multi_avg_fn(decay))
            self.ema.requires_grad_(False)
        self.randomness = Randomness(seeds, engine.device, engine.dtype)
        attach(self.networks, self.randomness)
        self._schedules = {name: [parse(m.hyper[name]) for m in models] for name in models[0].hyper}
        self._hyper: dict[str, tuple[tuple[float, ...], Tensor]] = {}
        self.step = 0
        self.rate_scale = torch.ones(len(models))
        self.diverged: dict[int, str] = {}
        self.stopping: str | None = None
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self.state = self.sampler.init(self.context("init"))

    @property
    def members(self) -> int:
        return self.randomness.members

    def context(self, purpose: str = "train") -> Context:
        """Where training stands, with the random draws set from (seed, step, purpose)."""
        values = {n: tuple(s(self.step) for s in each) for n, each in self._schedules.items()}
        for name, value in values.items():
            if self._hyper.get(name, (None,))[0] != value:  # a new tensor only where it changed
                tensor = torch.tensor(value, device=self.engine.device, dtype=self.engine.dtype)
                self._hyper[name] = (value, tensor.unsqueeze(-1))
        hyper = {name: tensor for name, (_, tensor) in self._hyper.items()}
        return Context(self.step, hyper, self.randomness.at(self.step, purpose))

    def run(self) -> None:
        """Train until `settings.steps`, or until `stopping` is set."""
        for hook in self.hooks:
            hook.start(self)
        while self.step < self.settings.steps and self.stopping is None:
            self.advance()
            try:
                for hook in self.hooks:
                    hook.step(self)
            except DivergenceError as error:
                if not any(hook.rescue(self, error) for hook in self.hooks):
                    raise
        for hook in self.hooks:
            hook.finish(self)

    def advance(self) -> None:
        """One step: k energy updates, then one of the sampler on the last of the draws."""
        context, learns = self.context(), self.sampler.learns(self.step)
        figures: dict[str, Tensor] = {}
        for substep in range(self.energy_steps):
            batch = self.feed(self.step, substep, self.energy_steps)
            with self.engine.autocast():
                with torch.set_grad_enabled(learns and substep == self.energy_steps - 1):
                    draw, self.state = self.sampler.draw(self.energy, batch, self.state, context)
                resting = draw.detach() if draw is not None else None
                loss = self.objective.energy_loss(self.energy, batch, resting, context)
            self._descend("energy", loss, figures)
        if learns and draw is not None:
            with frozen(self.energy), self.engine.autocast():
                loss = self.objective.sampler_loss(self.energy, batch, draw, context)
            self._descend("sampler", loss, figures)
        if draw is not None:
            figures |= draw.info
        self.step += 1
        if self.ema is not None and self.step % self.settings.ema_every == 0:
            self.ema.update_parameters(self.networks)
        self._pending.append((self.step, figures))

    def _descend(self, network: str, loss: Loss, figures: dict[str, Tensor]) -> None:
        stepper = self.steppers[network]
        stepper.zero()
        loss.total.sum().backward()  # members share no parameter, so the sum keeps them apart
        stepper.step(self.step, self.rate_scale)
        figures[f"loss_{network}"] = loss.total.detach()
        figures |= loss.parts

    def settle(self) -> list[tuple[int, dict[str, Tensor]]]:
        """Read the figures since the last call, each (M,) on the CPU, and see that all are finite.

        This is the only place where numbers are waited for. A member that is not finite is marked;
        DivergenceError, naming the term and the step, once no member is left.
        """
        pending, self._pending = self._pending, []
        read = [(step, {name: v.cpu() for name, v in f.items()}) for step, f in pending]
        for step, figures in read:
            for name, values in figures.items():
                for member in torch.nonzero(~values.reshape(-1).isfinite()).flatten().tolist():
                    self.diverged.setdefault(member, f"{name} is not finite at step {step}")
        if len(self.diverged) == self.members:
            raise DivergenceError(self.diverged[self.members - 1])
        return read

    def forget(self) -> None:
        """Drop figures not yet read: they belong to steps that a rollback undid."""
        self._pending = []

    def averaged(self) -> nn.ModuleDict:
        """The networks to evaluate: with averaged weights if there are any, else the raw ones."""
        if self.ema is None:
            return self.networks
        return cast(nn.ModuleDict, self.ema.module)

    def calibrate(self, versions: Sequence[nn.ModuleDict] = ()) -> None:
        """Measure the statistics that evaluation uses; without `versions`, of raw and averaged."""
        for networks in versions or {id(n): n for n in (self.networks, self.averaged())}.values():
            calibrate(
                cast(Energy, networks["energy"]),
                cast(Sampler, networks["sampler"]),
                lambda chunk: self.calibration(chunk, CHUNK),
                self.state,
                self.randomness,
            )
