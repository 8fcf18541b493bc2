"""The one loop. It knows an energy, a sampler and an objective, and nothing of any system."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from energan.core import (
    Batch,
    Context,
    DivergenceError,
    Energy,
    Loss,
    Model,
    Randomness,
    Sampler,
    SettingError,
    attach,
    frozen,
)
from energan.core.schedules import parse
from energan.training.batch_statistics import CHUNK, estimate_statistics
from energan.training.cohort import check_members, mask, stack
from energan.training.device import Device
from energan.training.distributed import ALONE, Distributed
from energan.training.optimisers import Stepper
from energan.training.settings import TrainingSettings

Figures = list[tuple[int, dict[str, Tensor]]]
"""(step, named values (M,)) of some steps."""
Tensors = tuple[Tensor, ...] | list[Tensor]
Feed = Callable[[int, int, int], Batch]
"""(step, substep, substeps) -> a batch of real data, a pure function."""


NORMS_EVERY = 20
"""Steps between looks at the gradients' norms, which read all gradients once more."""


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

    def close(self) -> None:
        """At the very end, whatever happened."""


class Loop:
    """Trains one model, or a cohort of models that differ in values and not in shapes.

    models, seeds: one for each member. calibration: chunk number, chunk size -> real data at rest.
    ranks: the processes that train together; the feed and settings.batch_size are this one's.
    Raises SettingError if the members cannot train as one program.
    """

    def __init__(
        self,
        models: Sequence[Model],
        feed: Feed,
        calibration: Callable[[int, int], Batch],
        settings: TrainingSettings,
        engine: Device,
        seeds: Sequence[int],
        hooks: Sequence[Hook] = (),
        ranks: Distributed = ALONE,
    ) -> None:
        if ranks.count > 1 and len(models) > 1:
            raise SettingError("a cohort trains in one process: start it without torchrun")
        self.settings, self.engine, self.hooks = settings, engine, list(hooks)
        self.ranks = ranks
        self.feed, self.calibration = feed, calibration
        self.objective, self.energy_steps = models[0].objective, models[0].energy_steps
        self.conditional, self.labelled = models[0].conditional, models[0].labelled
        self.energy = engine.place(stack([m.energy for m in models]))
        self.sampler = engine.place(stack([m.sampler for m in models]))
        check_members(models)
        self.steppers = {
            "energy": Stepper(self.energy, [m.energy_optimiser for m in models]),
            "sampler": Stepper(self.sampler, [m.sampler_optimiser for m in models]),
        }
        self.networks = nn.ModuleDict({"energy": self.energy, "sampler": self.sampler})
        self.ema: AveragedModel | None = None
        if settings.ema:
            self.ema = AveragedModel(self.networks, multi_avg_fn=self._average)
            self.ema.requires_grad_(False).eval()
        self.randomness = Randomness(seeds, engine.device, engine.dtype, ranks.share)
        for version in self.versions():
            attach(version, self.randomness)
        self._schedules = {name: [parse(m.hyper[name]) for m in models] for name in models[0].hyper}
        self._hyper: dict[str, tuple[tuple[float, ...], Tensor]] = {}
        self.step = 0
        self.rate_scale = torch.ones(len(models))
        self.diverged: dict[int, str] = {}
        self.told: str | None = None  # a signal's name, of this process
        self.stopping: str | None = None  # what all ranks agreed on
        self._pending: Figures = []
        self.state = self.sampler.init(self.context("init"))

    @property
    def members(self) -> int:
        return self.randomness.members

    def context(self, *place: object) -> Context:
        """Where training stands, with the random draws set from the seed and `place`.

        Without a place it is (step, "train"): the draws of one training step.
        """
        values = {n: tuple(s(self.step) for s in each) for n, each in self._schedules.items()}
        for name, value in values.items():
            if self._hyper.get(name, (None,))[0] != value:  # a new tensor only where it changed
                tensor = torch.tensor(value, device=self.engine.device, dtype=self.engine.dtype)
                self._hyper[name] = (value, tensor.unsqueeze(-1))
        hyper = {name: tensor for name, (_, tensor) in self._hyper.items()}
        draws = self.randomness.at(*(place or (self.step, "train")), split=not place)
        return Context(self.step, hyper, draws, self.ranks.gather)

    def scheduled(self, name: str, step: int) -> float | None:
        """A scheduled value at a step, the mean over members; None if the model has none."""
        values = [schedule(step) for schedule in self._schedules.get(name, ())]
        return sum(values) / len(values) if values else None

    def run(self) -> None:
        """Train until `settings.steps`, or until `told` is set.

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
        self.stopping = self.ranks.agree(self.told)
        while self.step < self.settings.steps and self.stopping is None:
            self.advance()
            for hook in self.hooks:
                hook.step(self)
            self.stopping = self.ranks.agree(self.told)
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
            with frozen(self.energy):
                with self.engine.autocast():
                    loss = self.objective.sampler_loss(self.energy, batch, draw, context)
                self._descend("sampler", loss, figures)
        if resting is not None:
            figures |= resting.info
        self.step += 1
        if self.ema is not None and self.step % self.settings.ema_every == 0:
            self.ema.update_parameters(self.networks)
        self._pending.append((self.step, figures))

    @torch.no_grad()
    def _average(self, averaged: Tensors, now: Tensors, count: object) -> None:
        """Move the averages towards the weights: slower and slower at first, so that a young run's
        average is not held up by the weights it began with."""
        updates = self.step // self.settings.ema_every
        decay = min(self.settings.ema**self.settings.ema_every, (1 + updates) / (10 + updates))
        torch._foreach_lerp_(averaged, now, 1 - decay)

    def _descend(self, network: str, loss: Loss, figures: dict[str, Tensor]) -> None:
        stepper = self.steppers[network]
        stepper.zero()
        loss.total.sum().backward()  # members share no parameter, so the sum keeps them apart
        self.ranks.average(stepper.gradients())
        if self.step % NORMS_EVERY == 0 and stepper.gradients():
            figures[f"gradient_{network}"] = stepper.norms()
        stepper.step(self.step, self.rate_scale)
        figures[f"loss_{network}"] = loss.total.detach()
        figures |= loss.parts

    def settle(self) -> Figures:
        """Read the figures since the last call, each (M,) on the CPU, and see that all are finite.

        Several ranks call it at the same steps and read the same means over all of them. This is
        the only place where numbers are waited for. A member that is not finite is masked, and its
        figures are NaN from then on; DivergenceError, naming the term and the step, once no member
        is left.
        """
        pending, self._pending = self._pending, []
        read = _to_cpu(pending, self.ranks)
        for step, figures in read:
            for name, values in figures.items():
                for member in torch.nonzero(~values.isfinite()).flatten().tolist():
                    self.mark(member, f"{name} is not finite at step {step}")
        for _, figures in read:
            for values in figures.values():
                values[list(self.diverged)] = torch.nan
        return read

    def mark(self, member: int, reason: str) -> None:
        """Record that a member diverged and take it out; DivergenceError if it was the last."""
        if member in self.diverged:
            return
        self.diverged[member] = reason
        if len(self.diverged) == self.members:
            raise DivergenceError(reason)
        self.rate_scale[member] = 0
        mask([p for v in self.versions() for p in v.parameters()], member)
        for stepper in self.steppers.values():
            stepper.mask(member)

    def forget(self) -> None:
        """Drop figures not yet read: they belong to steps that a rollback undid."""
        self._pending = []

    def averaged(self) -> nn.ModuleDict:
        """The networks to evaluate: with averaged weights if there are any, else the raw ones."""
        return self.networks if self.ema is None else cast(nn.ModuleDict, self.ema.module)

    def versions(self) -> list[nn.ModuleDict]:
        """The raw networks and, if there are any, the averaged ones."""
        return [self.networks] if self.ema is None else [self.networks, self.averaged()]

    def estimate_statistics(self, versions: Sequence[nn.ModuleDict] = ()) -> None:
        """Measure the statistics that evaluation uses; without `versions`, of raw and averaged."""
        for networks in versions or self.versions():
            estimate_statistics(
                cast(Energy, networks["energy"]),
                cast(Sampler, networks["sampler"]),
                lambda chunk: self.calibration(chunk, CHUNK),
                self.state,
                lambda chunk: self.context("calibrate", chunk),
            )


def _to_cpu(pending: Figures, ranks: Distributed) -> Figures:
    """Figures (M,) on the CPU, averaged over the ranks, in one transfer a step."""
    steps = [(step, f, torch.stack([v.reshape(-1).double() for v in f.values()]))
             for step, f in pending if f]  # fmt: skip
    ranks.average([together for _, _, together in steps])
    return [(step, dict(zip(f, together.cpu(), strict=True))) for step, f, together in steps]
