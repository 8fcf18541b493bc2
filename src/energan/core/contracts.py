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
    """Base class of energies U(x) or U(x | condition). Low energy means like the data.

    Subclasses implement `forward`. Energies over the same space can be added and scaled:
    `energy_a + energy_b` has the product of the two densities, `2 * energy` the squared density.
    """

    nonnegative: bool = False
    """Whether U is never negative, which margin objectives require."""
    denoises: bool = False
    """Whether it reconstructs noisy examples in training and clean ones in stream "eval", where U
    is lower for that reason."""
    fully_convolutional: bool = False
    """Whether it accepts images of any size, so that a model trained on windows scores whole images
    in one pass."""

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        """Compute the energy of a batch.

        Args:
            x: examples or samples, (B, *event), in the range of the data.
            condition: labels, int64 (B,), or conditions, (B, ...); ignored by an energy that
                takes none.
            stream: where x comes from. "real", "labelled" and "fake" are training batches, each
                normalised by its own batch statistics. "eval" uses stored statistics; use it to
                score.

        Returns:
            The energy of each example, with whatever else the network computed on the way.
        """

    @property
    def terms(self) -> tuple[tuple[float, "Energy"], ...]:
        """(weight, energy) pairs whose weighted sum this energy is: itself, with weight 1."""
        return ((1.0, self),)

    def __add__(self, other: "Energy") -> "Energy":
        """U_a(x) + U_b(x): low where both are, the product of the two densities."""
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
        """weight · U(x): the density to that power, sharper for a weight above 1."""
        if not isinstance(weight, int | float):
            return NotImplemented
        return Sum(tuple((weight * w, energy) for w, energy in self.terms))

    __rmul__ = __mul__


class Sum(Energy):
    """A weighted sum of energies over the same space, Σ w·U(x) or Σ w·U(x | condition).

    All energies receive the same condition, and those that take none ignore it. Energies with
    one value per cell are added cell by cell if their cells match, and by their means otherwise.

    Args:
        terms: (weight, energy) pairs.
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
    """Base class of samplers, which make the samples that the energy learns to tell from data: a
    generator network, or chains that move along the gradient of the energy.

    Subclasses implement `draw`, and `learns` if they have parameters to train.
    """

    makes_samples: bool = True
    """Whether it makes samples."""
    samples_at_once: bool = False
    """Whether `sample` must draw all samples in one call, because a second call could repeat
    some."""
    rule: StepRule | None = None
    """Settings of a chain step; None without chains."""
    chain_steps: int | None = None
    """Chain steps per training step, K; None without chains."""
    start_range: tuple[float, float] | None = None
    """Range of the uniform noise that chains start from; None without chains."""
    kernel: Kernel | None = None
    """How chains move; None for Langevin steps, and without chains."""

    def init(self, context: Context) -> State:
        """Return the initial state, which `draw` updates at each step and checkpoints store.

        A replay buffer is such a state. Empty unless a subclass overrides this.
        """
        return {}

    def empty_state(self) -> State:
        """Return tensors on the device "meta" with the shapes and types of what `init` returns.

        A stored state is checked against them when a checkpoint is loaded.
        """
        return {}

    def check_batch(self, batch_size: int) -> None:
        """Raise SettingError if the sampler cannot draw `batch_size` samples in one step.

        Args:
            batch_size: examples per step, over all processes.
        """
        return

    def learns(self, step: int) -> bool:
        """Whether the sampler has parameters that are trained at this step."""
        return False

    def phase(self, step: int) -> int:
        """Number of the phase that this step is in. `draw` does the same operations in all steps
        of a phase, so that one CUDA graph serves them; 0 unless a subclass overrides this."""
        return 0

    @abstractmethod
    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        """Draw as many samples as the batch has examples, for one training step.

        Args:
            energy: the energy, for samplers that follow its gradient.
            batch: real data; the samples are drawn for its conditions.
            state: the state that the previous step returned.
            context: step, scheduled values and random numbers.

        Returns:
            The samples, with gradient to the sampler's parameters if it learns at this step, and
            the new state. None in place of the samples if there are none at this step.
        """

    def sample(
        self, energy: Energy, count: int, condition: Tensor | None, state: State, context: Context
    ) -> Draw | None:
        """Draw finished samples for evaluation, without gradient.

        Args:
            energy: the energy, in evaluation mode.
            count: number of samples.
            condition: labels, int64 (count,), or conditions, (count, ...); None if the model
                takes none.
            state: the state after training.
            context: step, scheduled values and random numbers.

        Returns:
            The samples, (count, *event); None if this sampler makes none.
        """
        return None

    def replayed(
        self, state: State, count: int, condition: Tensor | None, draws: Randomness
    ) -> Tensor | None:
        """Return chains from the replay buffer in `state`.

        Args:
            state: the state after training.
            count: number of chains.
            condition: labels of the chains to take, int64 (count,); None for any.
            draws: source of random numbers.

        Returns:
            The chains, (count, *event); None if the sampler keeps no buffer.
        """
        return None


class Objective(ABC):
    """Base class of objectives: how the losses of the energy and of the sampler are formed.

    Subclasses implement `energy_loss`, and `sampler_loss` if the sampler has parameters to
    train. The objective calls the energy itself, so the training loop is the same for every
    model.
    """

    equilibrium: str = ""
    """What the losses tend to at equilibrium, in a sentence or two, for the caption of the loss
    curves."""
    settles_at: str | None = None
    """Name of the scheduled value that the energy's loss tends to at equilibrium, if any."""
    state: State
    """State from step to step, initially that of `init`. The objective may change it, and
    checkpoints store it."""

    def init(self, context: Context) -> State:
        """Return the state before the first step; one tensor (M, ...) per name, M seeds.

        Empty unless a subclass overrides this. It becomes `state`.
        """
        return {}

    def check(self, energy: Energy) -> None:
        """Raise SettingError if this objective cannot train that energy."""
        return

    @abstractmethod
    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        """Compute the loss of the energy for one step.

        Args:
            energy: the energy; call it with stream "real", "labelled" or "fake".
            batch: real data.
            draw: samples without gradient to the sampler; None if there are none at this step.
            context: step, scheduled values and random numbers.

        Returns:
            The loss, (M,), and values for the log.
        """

    def sampler_loss(self, energy: Energy, batch: Batch, draw: Draw, context: Context) -> Loss:
        """Compute the loss of the sampler for one step.

        Args:
            energy: the energy, with frozen parameters; gradients flow through it to the samples.
            batch: real data.
            draw: samples with gradient to the sampler.
            context: step, scheduled values and random numbers.

        Returns:
            The loss, (M,), and values for the log.

        Raises:
            SettingError: if this objective trains no sampler.
        """
        raise SettingError(f"{type(self).__name__} trains no sampler")
