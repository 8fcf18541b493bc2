"""The contracts that an energy, a sampler and an objective keep."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from energan.core.chains import Kernel, StepRule
from energan.core.randomness import Randomness
from energan.core.streams import Stream
from energan.core.values import Batch, Context, Draw, Loss, Scored, State, exact
from energan.errors import SettingError


class Energy(nn.Module, ABC):
    """U(x), or U(x | condition): low where x is like data."""

    nonnegative: bool = False
    """Whether U ≥ 0 always holds; margin objectives need it."""
    denoises: bool = False
    """Whether it reconstructs noisy examples in training and clean ones in stream "eval", so that U
    is lower there."""
    fully_convolutional: bool = False
    """Whether it takes images of any size. If so, a model trained on windows scores a whole image
    in one pass."""

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        """Score x (B, *event), under a condition (B, ...); an energy that takes none ignores it.

        stream says where x comes from: "real", "labelled" and "fake" batches are each normalised by
        their own statistics; "eval" uses those measured at rest and is the only one to score with.
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
    """Σ w·U(x), or Σ w·U(x | condition), of energies over the same space.

    A condition reaches all of them; those that take none ignore it.
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


class Sampler(nn.Module, ABC):
    """Where the contrast comes from: a generator network, or chains on the energy itself."""

    makes_samples: bool = True
    """Whether the sampler makes samples at all."""
    samples_at_once: bool = False
    """Whether `sample` must be called once for all samples, because a second call could repeat
    some."""
    rule: StepRule | None = None
    """The rule of one chain step; None if the sampler has no chains."""
    chain_steps: int | None = None
    """K: chain steps per training step; None if the sampler has no chains."""
    start_range: tuple[float, float] | None = None
    """The range of the uniform noise that chains start in; None if the sampler has no chains."""
    kernel: Kernel | None = None
    """The rule by which chains move; None if the sampler has none, or for Langevin steps."""

    def init(self, context: Context) -> State:
        """The state that `draw` carries from step to step (a replay buffer, or nothing)."""
        return {}

    def empty_state(self) -> State:
        """Tensors without numbers, on the device "meta": the shapes and types of `init`'s."""
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
    """What the losses tend to at equilibrium, in one or two sentences, for the caption of their
    curves."""
    settles_at: str | None = None
    """The scheduled value that the energy's loss tends to at equilibrium, if there is one."""
    state: State
    """What the objective carries from step to step. It starts as `init` returns it, the objective
    may change it, and checkpoints keep it."""

    def init(self, context: Context) -> State:
        """The state before the first step; of a cohort each tensor is (M, ...)."""
        return {}

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
