"""What trains, as hooks see it: networks, averages, optimisers, and where training stands."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from energan.core import (
    Batch,
    Context,
    Energy,
    Model,
    Randomness,
    Sampler,
    SettingError,
    State,
    attach,
    place_seed,
)
from energan.core.schedules import parse
from energan.training.batch_statistics import estimate_statistics
from energan.training.cohort import check_members, stack
from energan.training.contract_checks import digest
from energan.training.device import Device
from energan.training.distributed import ALONE, Distributed
from energan.training.optimisers import Optimisers
from energan.training.settings import TrainingSettings

StepFigures = list[tuple[int, dict[str, Tensor]]]
"""(step, named values (M,)) of some steps."""
StatisticsFeed = Callable[[int], Batch]
"""Chunk number -> CHUNK real examples, in an order that training does not use."""
Tensors = tuple[Tensor, ...] | list[Tensor]


class TrainState(ABC):
    """A loop, or one member of a cohort: all that logs, checkpoints, scores and pictures ask of it.

    models, seeds: one for each member, which differ in values and not in shapes. ranks: the
    processes that train together. Raises SettingError if the members cannot train as one program.
    """

    step: int
    rate_scale: Tensor
    """Factor (M,) on all learning rates of each seed; 0 for one that was taken out."""
    state: State
    """The sampler's."""
    objective_state: State
    """The objective's."""
    optimisers: dict[str, Optimisers]
    """Keys: "energy" and "sampler"."""
    stop_signal: str | None
    """Set to end the training after this step: the name of the signal that this process
    received."""
    stopping: str | None
    """What all ranks agreed on."""

    def __init__(
        self,
        models: Sequence[Model],
        statistics_feed: StatisticsFeed,
        settings: TrainingSettings,
        engine: Device,
        seeds: Sequence[int],
        ranks: Distributed = ALONE,
    ) -> None:
        self.settings, self.engine, self.ranks = settings, engine, ranks
        self.statistics_feed, self.energy_steps = statistics_feed, models[0].energy_steps
        self.conditional, self.labelled = models[0].conditional, models[0].labelled
        self.energy = engine.place(stack([m.energy for m in models]))
        self.sampler = engine.place(stack([m.sampler for m in models]))
        check_members(models)
        self.networks = nn.ModuleDict({"energy": self.energy, "sampler": self.sampler})
        self.ema: AveragedModel | None = None
        self._ema_decay = parse(settings.ema)
        if settings.ema and next(self.networks.parameters(), None) is not None:
            self.ema = AveragedModel(self.networks, multi_avg_fn=self._average)
            self.ema.requires_grad_(False).eval()
        self.randomness = Randomness(seeds, engine.device, engine.dtype, ranks.share)
        for version in self.versions():
            attach(version, self.randomness)
        self._schedules = {name: [parse(m.hyper[name]) for m in models] for name in models[0].hyper}
        self._hyper: dict[str, tuple[tuple[float, ...], Tensor]] = {}
        self.diverged: dict[int, str] = {}

    @abstractmethod
    def flush_figures(self) -> StepFigures:
        """Read the figures since the last call, each (M,) on the CPU, and see that all are finite.

        Raises DivergenceError, naming the term and the step, once no member is left.
        """

    @abstractmethod
    def drop_figures(self) -> None:
        """Forget figures not yet read: they belong to steps that a rollback undid."""

    @abstractmethod
    def drop_member(self, member: int, reason: str) -> None:
        """Record that a member diverged and take it out; DivergenceError if it was the last."""

    @property
    def members(self) -> int:
        return self.randomness.members

    def context(self, *place: object) -> Context:
        """Where training stands, with the random draws set from the seed and `place`.

        Without a place it is (step, "train"): the draws of one training step. torch's own generator
        is set too, so that layers of torch that draw from it, as its dropout does, draw the same in
        a run that was resumed.
        """
        training = not place
        place = place or (self.step, "train")
        values = {n: tuple(s(self.step) for s in each) for n, each in self._schedules.items()}
        for name, value in values.items():
            if self._hyper.get(name, (None,))[0] != value:  # a new tensor only where it changed
                tensor = torch.tensor(value, device=self.engine.device, dtype=self.engine.dtype)
                self._hyper[name] = (value, tensor.unsqueeze(-1))
        hyper = {name: tensor for name, (_, tensor) in self._hyper.items()}
        part = self.ranks.share if training else ()
        self.engine.seed(place_seed(self.randomness.seeds[0], *place, *part))
        draws = self.randomness.at(*place, split=training)
        return Context(self.step, hyper, draws, self.ranks.gather)

    def scheduled(self, name: str, step: int) -> float | None:
        """A scheduled value at a step, the mean over members; None if the model has none."""
        values = [schedule(step) for schedule in self._schedules.get(name, ())]
        return sum(values) / len(values) if values else None

    def check_states(self) -> None:
        """Raise SettingError, on all ranks, unless what is carried from step to step is the same on
        each: a checkpoint keeps that of the first."""
        if self.ranks.count == 1:
            return
        for of, state in (("sampler", self.state), ("objective", self.objective_state)):
            if not self.ranks.same(digest(state)):
                raise SettingError(
                    f"the state of the {of} differs between ranks, and a checkpoint stores only "
                    "one: train in one process, or keep all of the state on each rank "
                    "(context.gather)"
                )

    def averaged(self) -> nn.ModuleDict:
        """The networks to evaluate: with averaged weights if there are any, else the raw ones."""
        return self.networks if self.ema is None else cast(nn.ModuleDict, self.ema.module)

    @property
    def weights(self) -> str:
        """Which those are: "ema" for averaged, "raw"."""
        return "raw" if self.ema is None else "ema"

    def versions(self) -> list[nn.ModuleDict]:
        """The raw networks and, if there are any, the averaged ones."""
        return [self.networks] if self.ema is None else [self.networks, self.averaged()]

    def estimate_statistics(self, versions: Sequence[nn.ModuleDict] = ()) -> None:
        """Measure the statistics that evaluation uses; without `versions`, of raw and averaged."""
        for networks in versions or self.versions():
            estimate_statistics(
                cast(Energy, networks["energy"]),
                cast(Sampler, networks["sampler"]),
                self.statistics_feed,
                self.state,
                lambda chunk: self.context("calibrate", chunk),
            )

    @torch.no_grad()
    def _average(self, averaged: Tensors, now: Tensors, count: object) -> None:
        """Move the averages towards the weights: slower and slower at first, so that a young run's
        average is not held up by the weights it began with."""
        updates = self.step // self.settings.ema_every
        decay = min(
            self._ema_decay(self.step) ** self.settings.ema_every, (1 + updates) / (10 + updates)
        )
        torch._foreach_lerp_(averaged, now, 1 - decay)
