"""Annealed importance sampling from both sides: log Z of exp(−U) between two bounds.

    U_k = (1 − β_k)·U₀ + β_k·U,   β from 0 to 1,   exp(−U₀)/Z₀ a normal density, Z₀ known
    w = Σ_k (β_k − β_(k−1))·(U₀(x) − U(x)),   x moved by HMC on U_k between
    forward   from x ~ exp(−U₀)/Z₀        reverse   from x ~ exp(−U)/Z, the same way back

E exp(w) = Z/Z₀ forward (Neal 2001), so that log Z₀ + log mean exp(w) lies below log Z on average;
E exp(−w) = Z₀/Z in reverse, so that log Z₀ − log mean exp(−w) lies above it (Grosse, Ghahramani &
Adams 2015). Either is off by more than b nats to the wrong side with probability e^(−b) at most.
The upper bound needs samples of exp(−U)/Z itself. From chains that have not reached all modes it is
a bound for what they reached, and may lie below log Z.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log, pi

import torch
from torch import Tensor

from energan.core import ChainState, Draws, Function, StepRule, frozen_weights, value_and_gradient
from energan.samplers import hamiltonian
from energan.samplers.adaptation import GAIN

TARGET = 0.8
"""Acceptance that the step sizes of the stages are chosen for."""
STEEPNESS = 4.0


@dataclass(frozen=True)
class NormalBase:
    """A normal density with independent coordinates, truncated to a range if there is one.

    Attributes:
        mean: (*event), on the CPU.
        std: (*event), on the CPU.
        low: lower end of the range; None for none.
        high: upper end of the range; None for none.
    """

    mean: Tensor
    std: Tensor
    low: float | None = None
    high: float | None = None

    def _ends(self) -> tuple[Tensor, Tensor]:
        """The distribution function at the ends of the range, float64 (*event)."""
        mean, std = self.mean.double(), self.std.double()
        if self.low is None or self.high is None:
            return torch.zeros_like(mean), torch.ones_like(mean)
        below, above = ((end - mean) / std for end in (self.low, self.high))
        return torch.special.ndtr(below), torch.special.ndtr(above)

    @property
    def log_z(self) -> float:
        """log Z₀ of exp(−U₀)."""
        below, above = self._ends()
        return float((self.std.double().log() + log(2 * pi) / 2 + (above - below).log()).sum())

    def sample(self, count: int, draws: Draws) -> Tensor:
        """float32 (count, *event), on the draws' device."""
        if self.low is None or self.high is None:
            normal = draws.normal(count, *self.mean.shape)
            return self.mean.to(normal) + self.std.to(normal) * normal
        drawn = draws.uniform(0, 1, count, *self.mean.shape)
        below, above = self._ends()
        within = torch.special.ndtri(below + drawn.double().cpu() * (above - below))
        x: Tensor = self.mean.double() + self.std.double() * within
        return x.clamp(self.low, self.high).to(drawn.device, torch.float32)

    def energy(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """U₀(x) (B,) = ½ Σ ((x − mean)/std)², and its gradient."""
        away = (x - self.mean.to(x)) / self.std.to(x)
        return away.square().flatten(1).sum(1) / 2, away / self.std.to(x)


@dataclass(frozen=True)
class AnnealedLogZ:
    """Bounds of log Z by annealed importance sampling.

    Attributes:
        lower: lower bound, in expectation.
        upper: upper bound, in expectation; None without samples of the density.
        forward: log weights of the forward chains, (B,).
        reverse: log weights of the reverse chains, (B,).
        acceptance: fraction of accepted moves.
    """

    lower: float
    upper: float | None
    forward: Tensor
    reverse: Tensor | None
    acceptance: float


def annealed_log_z(
    energy: Function,
    base: NormalBase,
    draws: Draws,
    *,
    chains: int = 64,
    stages: int = 500,
    leapfrog: int = 5,
    step_size: float = 0.01,
    samples: Tensor | None = None,
    advance: Callable[[], None] = lambda: None,
) -> AnnealedLogZ:
    """Bound log Z = log ∫ exp(−U(x)) dx by annealed importance sampling (Neal 2001; Grosse et al.
    2015).

    Each stage moves all chains by one HMC trajectory. Step sizes are found beforehand with other
    chains, because adapting those that are weighted would bias the weights.

    Args:
        energy: function from (B, *event) to U (B,).
        base: the density that the path starts from.
        draws: source of random numbers; its device is used.
        chains: number of forward chains.
        stages: number of temperatures on the path.
        leapfrog: leapfrog steps per trajectory.
        step_size: initial step size.
        samples: samples of exp(−U)/Z, (B, *event), for the upper bound.
        advance: function called after each stage.

    Returns:
        Lower and upper bound, in nats.
    """
    path = torch.linspace(-STEEPNESS, STEEPNESS, stages + 1, dtype=torch.float64).sigmoid()
    betas: list[float] = ((path - path[0]) / (path[-1] - path[0])).tolist()
    along = _Path(energy, base, draws, leapfrog, advance)
    sizes = along.find_sizes(base.sample(max(8, chains // 4), draws), betas, step_size)
    forward = along.walk(base.sample(chains, draws), betas, sizes)
    accepted, reverse, upper = along.acceptance, None, None
    if samples is not None:
        reverse = -along.walk(samples.to(forward.device), betas[::-1], sizes[::-1])
        upper = base.log_z - _log_mean_exp(-reverse)
    return AnnealedLogZ(
        base.log_z + _log_mean_exp(forward), upper, forward.cpu(),
        None if reverse is None else reverse.cpu(), accepted,
    )  # fmt: skip


@dataclass
class _Path:
    """Chains along the β. acceptance: the mean of the last walk's moves."""

    energy: Function
    base: NormalBase
    draws: Draws
    leapfrog: int
    advance: Callable[[], None]
    acceptance: float = float("nan")

    def find_sizes(self, x: Tensor, betas: list[float], step_size: float) -> list[float]:
        """The step size for each move between two β, by chains that start at x of the base."""
        sizes: list[float] = []
        for beta in betas[1:-1]:
            _, state = self._at(x, beta)
            state = self._move(state, beta, step_size)
            x, acceptance = state.x, state.acceptance
            assert acceptance is not None
            sizes.append(step_size)
            step_size *= float((5 * GAIN * (acceptance.mean() - TARGET)).exp())
            self.advance()
        return sizes

    def walk(self, x: Tensor, betas: list[float], sizes: list[float]) -> Tensor:
        """Σ (β_k − β_(k−1))·(U₀ − U) (B,), float64, of chains from x of the first β to the last."""
        total, accepted = torch.zeros(len(x), dtype=torch.float64, device=x.device), 0.0
        for k in range(1, len(betas)):
            difference, state = self._at(x, betas[k])
            total += (betas[k] - betas[k - 1]) * difference
            if k < len(betas) - 1:
                state = self._move(state, betas[k], sizes[k - 1])
                x = state.x
                assert state.acceptance is not None
                accepted += float(state.acceptance.mean())
            self.advance()
        self.acceptance = accepted / max(1, len(betas) - 2)
        return total

    def _at(self, x: Tensor, beta: float) -> tuple[Tensor, ChainState]:
        """U₀ − U at x, float64, and chains there on the mixture of both."""
        with frozen_weights():
            u, gradient = value_and_gradient(self.energy, x)
        u0, gradient0 = self.base.energy(x)
        mixed, slope = torch.lerp(u0, u, beta), torch.lerp(gradient0, gradient, beta)
        nothing = torch.zeros_like(u)
        state = ChainState(x, mixed, mixed, nothing, gradient=slope, accepted=nothing)
        return u0.double() - u.double(), state

    def _move(self, state: ChainState, beta: float, step_size: float) -> ChainState:
        def mixture(x: Tensor) -> Tensor:
            return torch.lerp(self.base.energy(x)[0], self.energy(x), beta)

        rule = StepRule(step_size, low=self.base.low, high=self.base.high)
        one = partial(hamiltonian.step, steps=self.leapfrog)
        with frozen_weights():
            return one(mixture, state, rule, self.draws)


def _log_mean_exp(weights: Tensor) -> float:
    return float(weights.logsumexp(0)) - log(len(weights))
