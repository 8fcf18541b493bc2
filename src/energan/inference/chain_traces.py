"""What is kept of chains at each step, to tell whether they mixed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from energan.core import ChainState, Randomness, exact
from energan.metrics.mixing import LEAST, effective_sample_size, split_rhat

COORDINATES, PROJECTIONS, LONGEST = 64, 32, 1000
"""Numbers of an event that are kept as they are; directions of those of more; draws of a chain."""


@dataclass(frozen=True)
class Mixing:
    """Whether chains have mixed, computed after warm-up.

    R-hat is the worst, and the effective sample size the smallest, over U and the coordinates of
    x (over U and 32 random directions if x has more than 64). Chains of different labels are
    compared within each label.

    Attributes:
        rhat: split R-hat.
        ess: effective sample size, over all chains.
        energy_rhat: split R-hat of U alone.
        energy_ess: effective sample size of U alone.
        draws: number of draws, over all chains.
    """

    rhat: float
    ess: float
    energy_rhat: float
    energy_ess: float
    draws: int


class Trace:
    """U and numbers of x of B chains at each step after `warmup` of `steps`; of many steps, at
    equal distances."""

    def __init__(self, steps: int, warmup: int, event: torch.Size) -> None:
        self.warmup, self.rows = warmup, list[Tensor]()
        self.every = -(-(steps - warmup) // LONGEST)
        size = event.numel()
        self.directions: Tensor | None = None
        if size > COORDINATES:
            drawn = Randomness([0]).at("directions").normal(size, PROJECTIONS)
            self.directions = drawn / drawn.norm(dim=0)

    def __call__(self, state: ChainState) -> None:
        done = state.steps - self.warmup
        if done < 1 or done % self.every:
            return
        x = exact(state.x).flatten(1)
        if self.directions is not None:
            x = x @ self.directions.to(x)
        self.rows.append(torch.cat([exact(state.energy)[:, None], x], 1).cpu())

    def values(self) -> Tensor:
        """(S, B, 1 + K)."""
        return torch.stack(self.rows)


def mixing_of(traces: Tensor, labels: Tensor | None) -> Mixing | None:
    """Of traces (S, N, 1 + K) of chains of these labels (N,); None of too few steps, or of values
    that are not finite."""
    if len(traces) < LEAST or not bool(traces.isfinite().all()):
        return None
    groups = [traces]
    if labels is not None:
        groups = [traces[:, labels == label] for label in labels.unique()]
    figures = torch.tensor([[_figures(part[..., k]) for part in groups]
                            for k in range(traces.shape[2])])  # fmt: skip
    rhat, ess = figures[..., 0].amax(1), figures[..., 1].sum(1)  # (1 + K,)
    moved = ~rhat.isnan()
    if not bool(moved.any()):
        return None
    return Mixing(
        float(rhat[moved].max()), float(ess[moved].min()), float(rhat[0]), float(ess[0]),
        traces.shape[0] * traces.shape[1],
    )  # fmt: skip


def _figures(draws: Tensor) -> tuple[float, float]:
    """R̂ and ESS of draws (S, N); NaN where nothing moves, as pixels at the end of the range."""
    if bool((draws == draws[0, 0]).all()):
        return float("nan"), float("nan")
    return split_rhat(draws), effective_sample_size(draws)
