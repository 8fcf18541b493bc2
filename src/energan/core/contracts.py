"""The contracts that an energy, a sampler and an objective keep, and nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from energan.core.randomness import Randomness
from energan.core.schedules import FORMS, Schedule
from energan.core.streams import Stream
from energan.errors import SettingError

State = dict[str, Tensor]


# --- what is passed between the three -------------------------------------------------------------


@dataclass(frozen=True)
class Domain:
    """What a data set holds.

    shape: of one event: (C, H, W) for images, (D,) for points.
    low, high: the value range networks work in, or None where it is unbounded.
    classes: number of labels, None where there are none.
    mean: the mean training event, (*shape), for initialisations that use it.
    condition_shape: of one condition where each event comes with its own: (C, H, W) of an image,
        (F,) of a vector; else None.
    """

    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None
    classes: int | None = None
    mean: Tensor | None = field(default=None, compare=False, repr=False)
    condition_shape: tuple[int, ...] | None = None

    @property
    def paired(self) -> bool:
        """Whether each event comes with an image that it is to be made of."""
        return self.condition_shape is not None and len(self.condition_shape) == 3

    @property
    def size(self) -> int:
        """Numbers in one event."""
        return torch.Size(self.shape).numel()


@dataclass(frozen=True)
class Batch:
    """Real data: x (B, *event), its condition, and a labelled part where the system has one."""

    x: Tensor
    condition: Tensor | None = None
    labelled: "Batch | None" = None


@dataclass(frozen=True)
class Draw:
    """What the sampler made: x (B, *event), the condition it was made for, chain diagnostics."""

    x: Tensor
    condition: Tensor | None = None
    info: Mapping[str, Tensor] = field(default_factory=dict)

    def detach(self) -> "Draw":
        """The same draw, cut from the sampler's graph."""
        condition = self.condition
        return Draw(
            self.x.detach(),
            condition if condition is None else condition.detach(),
            {name: value.detach() for name, value in self.info.items()},
        )


@dataclass(frozen=True)
class Scored:
    """What an energy says of x.

    energy: (B,), or (B, *cells) for an energy with one value a patch.
    code: (B, S), the encoder's output with feature maps flattened, where there is an encoder.
    reconstruction: (B, *event), where the energy reconstructs.
    logits: (B, K), where the energy also classifies.
    """

    energy: Tensor
    code: Tensor | None = None
    reconstruction: Tensor | None = None
    logits: Tensor | None = None


@dataclass(frozen=True)
class Loss:
    """total: (M,), one for each member, with gradient; parts: named (M,) values for the log."""

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """Where training stands: the step, the scheduled values, the random draws.

    hyper: {name: (M, 1)} on the device: margin, weights, as the schedules give them at this step.
    gather: vectors (M, B, S) of this process -> those of all processes that train together, for
        terms that compare the samples of a batch; its gradient reaches this process's own.
    """

    step: int
    hyper: Mapping[str, Tensor]
    generator: Randomness
    gather: Callable[[Tensor], Tensor] = lambda vectors: vectors

    @property
    def members(self) -> int:
        return self.generator.members

    def rows(self, values: Tensor) -> Tensor:
        """Per-sample (or per-cell) values as (M, N) rows, in full precision."""
        return exact(values).reshape(self.members, -1)

    def vectors(self, values: Tensor) -> Tensor:
        """Per-sample vectors (..., B, S) as (M, B, S), in full precision."""
        return exact(values).reshape(self.members, -1, values.shape[-1])


def exact(values: Tensor) -> Tensor:
    """float32 at least: energies, norms, cosines and losses are never in half precision."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Within it autocast leaves operations on the device of x alone."""
    kind = x.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):  # no numbers: nothing to keep exact
        return nullcontext()
    return torch.autocast(kind, enabled=False)


# --- the three ------------------------------------------------------------------------------------


class Energy(nn.Module, ABC):
    """U(x), or U(x | condition): low where x is like data."""

    nonnegative: bool = False
    """Whether U ≥ 0 always holds; the margin objectives need it."""
    denoises: bool = False
    """Whether it reconstructs noisy events in training and clean ones in stream "eval", so that U
    lies lower there."""

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        """Score x (B, *event).

        stream says where x comes from: "real", "labelled" and "fake" batches are each normalised by
        their own statistics; "eval" uses the calibrated ones and is the only one to score with.
        """

    @property
    def terms(self) -> tuple[tuple[float, "Energy"], ...]:
        """(weight, energy) whose weighted sum this is: itself, once."""
        return ((1.0, self),)

    def __add__(self, other: "Energy") -> "Energy":
        """U_a(x) + U_b(x), of the product of the two densities: low where both are."""
        if not isinstance(other, Energy):
            return NotImplemented
        return Sum((*self.terms, *other.terms))

    def __radd__(self, other: object) -> "Energy":
        """For sum([a, b]), which begins at 0."""
        return self if other == 0 else NotImplemented

    def __sub__(self, other: "Energy") -> "Energy":
        """U_a(x) − U_b(x): low where a is and b is not."""
        return self + -1 * other if isinstance(other, Energy) else NotImplemented

    def __mul__(self, weight: float) -> "Energy":
        """weight · U(x): the density to that power, so more than 1 makes it sharper."""
        if not isinstance(weight, int | float):
            return NotImplemented
        return Sum(tuple((weight * w, energy) for w, energy in self.terms))

    __rmul__ = __mul__


class Sum(Energy):
    """Σ w·U(x), or Σ w·U(x | condition), of energies of the same events.

    Energies with cells are added cell by cell, or by their means if their cells are not the same.
    """

    def __init__(self, terms: tuple[tuple[float, Energy], ...]) -> None:
        super().__init__()
        self.weights = tuple(weight for weight, _ in terms)
        self.energies = nn.ModuleList(energy for _, energy in terms)
        self.nonnegative = all(weight >= 0 and energy.nonnegative for weight, energy in terms)

    @property
    def terms(self) -> tuple[tuple[float, Energy], ...]:
        return tuple(zip(self.weights, self.energies, strict=True))  # type: ignore[arg-type]

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        values = [
            weight * exact(energy(x, condition, stream=stream).energy)
            for weight, energy in self.terms
        ]
        if any(value.shape != values[0].shape for value in values):
            values = [value.reshape(len(x), -1).mean(1) for value in values]
        return Scored(torch.stack(values).sum(0))


@dataclass(frozen=True)
class StepRule:
    """How one step of a chain is made.

    step_size: ε. noise: None for the coupled form, else the noise's standard deviation, which is
        no longer tied to ε: the chain then samples exp(−U/T) of T = noise²/(2ε).
    clip: bound on each coordinate of the gradient; None for none.
    low, high: the range that x is clamped to after each step; None for none.
    noise_first: add the noise before the gradient is taken, as the original IGEBM code does.
    """

    step_size: float
    noise: float | None = None
    clip: float | None = None
    low: float | None = None
    high: float | None = None
    noise_first: bool = False

    @property
    def descent(self) -> float:
        """What the gradient is multiplied by."""
        return self.step_size / 2 if self.noise is None else self.step_size

    @property
    def spread(self) -> float:
        """The noise's standard deviation in one step."""
        return self.step_size**0.5 if self.noise is None else self.noise


class Sampler(nn.Module, ABC):
    """Where the contrast comes from: a generator network, or chains on the energy itself."""

    makes_samples: bool = True
    """Whether there ever are any."""
    samples_at_once: bool = False
    """Whether `sample` is called once for all samples, since a second call could repeat some."""
    rule: StepRule | None = None
    """How a step of its chains is made; None if it has no chains."""
    chain_steps: int | None = None
    """K: steps of its chains in one training step; None if it has no chains."""
    start_range: tuple[float, float] | None = None
    """The range that its chains start in, uniformly; None if it has no chains."""
    metropolis: bool = False
    """Whether a Metropolis test refuses some of a chain's moves (MALA)."""

    def init(self, context: Context) -> State:
        """The state that `draw` carries from step to step (a replay buffer, or nothing)."""
        return {}

    def check_batch(self, batch_size: int) -> None:
        """Raise SettingError if it cannot draw so many together, all processes counted."""
        return

    def learns(self, step: int) -> bool:
        """Whether the sampler has parameters that train at this step."""
        return False

    @abstractmethod
    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        """As many samples as the batch has, with gradient; None once the sampler has stopped."""

    def sample(
        self, energy: Energy, count: int, condition: Tensor | None, state: State, context: Context
    ) -> Draw | None:
        """`count` finished samples in evaluation mode; None if this sampler makes none."""
        return None

    def replayed(
        self, state: State, count: int, condition: Tensor | None, draws: Randomness
    ) -> Tensor | None:
        """`count` chains as they lie in the replay buffer of `state`; None if it keeps none."""
        return None


class Objective(ABC):
    """How the two losses are formed. It calls the energy, so the loop needs no branch."""

    equilibrium: str = ""
    """What the losses tend to, in a sentence or two for the caption of their curves."""
    settles_at: str | None = None
    """The hyper that the energy's loss tends to at equilibrium, if it is one."""

    def check(self, energy: Energy) -> None:
        """Raise SettingError if this objective makes no sense for that energy."""
        return

    @abstractmethod
    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        """The energy's loss; the draw is detached."""

    def sampler_loss(self, energy: Energy, batch: Batch, draw: Draw, context: Context) -> Loss:
        """The sampler's loss; the energy's parameters are frozen, its gradient in x flows."""
        raise SettingError(f"{type(self).__name__} trains no sampler")


# --- a model is the three and how they are stepped ------------------------------------------------


class Config(BaseModel):
    """Base of all settings: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def classifies(self) -> bool:
        """Of a model's settings: whether its energy learns classes, which needs no network to know.

        Those with a setting `labelled`, events with labels in each batch, do unless it is 0. A
        model that classifies without one says `classifies: ClassVar[bool] = True`.
        """
        return bool(getattr(self, "labelled", 0))


class Optimiser(Config):
    """How one network's parameters are stepped."""

    kind: Literal["adam", "sgd"] = Field("adam", description="update rule")
    lr: Schedule = Field(0.001, description=f"learning rate: {FORMS}")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the square")
    eps: float = Field(1e-8, gt=0, description="Adam's floor under the root")
    momentum: Schedule = Field(0.0, description="SGD's momentum, a number or a schedule")
    clip: float | None = Field(None, gt=0, description="largest gradient norm of a member")


@dataclass
class Model:
    """What a model file's `build` returns.

    hyper: scheduled values by name, as the objective reads them from the context.
    energy_steps: k, energy steps for each sampler step (Goodfellow et al. 2014, algorithm 1).
    chosen: what the build chose by itself from the data, for the user to see.
    conditional: whether both networks take labels, or the conditions that events come with, so
        that batches and samples must carry them.
    labelled: labelled events that each batch brings beside the unlabelled ones; 0 for none. Such a
        model's energy classifies: it gives logits, in stream "eval" too.
    """

    energy: Energy
    sampler: Sampler
    objective: Objective
    hyper: dict[str, Schedule] = field(default_factory=dict)
    energy_optimiser: Optimiser = field(default_factory=Optimiser)
    sampler_optimiser: Optimiser = field(default_factory=Optimiser)
    energy_steps: int = 1
    chosen: dict[str, str] = field(default_factory=dict)
    conditional: bool = False
    labelled: int = 0

    def __post_init__(self) -> None:
        self.objective.check(self.energy)
