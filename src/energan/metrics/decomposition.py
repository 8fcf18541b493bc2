"""Which settings of a search its scores depend on: shares of their variance, an axis each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from energan.metrics.arrays import Values, array

Numbers = NDArray[np.float64]
Pair = tuple[int, int]
GROUPS = 100
"""Parts that are left out in turn for an interval, at most."""
ROUNDING = 1e-10


@dataclass(frozen=True)
class Anova:
    """Of all combinations of D axes, as shares of the variance in [0, 1]; 0 if there is none.

    main: of an axis alone, S_i. total: of all that it takes part in, ≥ main. pairs: of what two do
    together beyond what each does alone.
    """

    variance: float
    main: tuple[float, ...]
    total: tuple[float, ...]
    pairs: dict[Pair, float]


@dataclass(frozen=True)
class ShareEstimate:
    """A share of the variance and its interval. All may lie below 0, as unbiased estimates of
    nothing do half of the time."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Shares:
    """Estimated from some of the combinations.

    main: of each axis alone. additive: of all axes together without what they do jointly; the rest
    is joint effects and chance. pairs: of what two do jointly; only those that the sample allows.
    count: of trials. coefficients: that were fitted for `main`.
    """

    main: tuple[ShareEstimate, ...]
    additive: ShareEstimate
    pairs: dict[Pair, ShareEstimate] = field(default_factory=dict)
    count: int = 0
    coefficients: int = 0

    @property
    def few(self) -> bool:
        """Whether there are fewer than two trials for each coefficient: take nothing from it."""
        return self.count < 2 * self.coefficients


def functional_anova(grid: Values) -> Anova:
    """The exact decomposition of scores (n_1, …, n_D), a score for each combination.

    With all combinations equally likely S_i = Var E[y | x_i] / Var y, the total effect is
    E Var[y | all but x_i] / Var y, and the pair's share Var E[y | x_i, x_j] / Var y − S_i − S_j
    (Sobol' 1993; Hutter et al. 2014 for searches). With a single run of each combination chance is
    in it too, most of it in the joint effects.
    Raises ValueError for no axes, no scores, or scores that are not finite.
    """
    y = array(grid)
    if y.ndim < 1 or y.size < 1 or not np.isfinite(y).all():
        raise ValueError(f"the grid must be (n_1, …) and finite: it is {y.shape}")
    axes = range(y.ndim)
    variance = float(y.var())
    # Equal scores leave a variance of rounding alone.
    scale = 0.0 if variance <= (ROUNDING * np.abs(y).max()) ** 2 else 1 / variance

    def explained(*kept: int) -> float:
        return float(y.mean(axis=tuple(set(axes) - set(kept))).var()) * scale

    main = tuple(explained(i) for i in axes)
    total = tuple(float(y.var(axis=i).mean()) * scale for i in axes)
    pairs = {(i, j): explained(i, j) - main[i] - main[j] for i, j in combinations(axes, 2)}
    return Anova(variance if scale else 0.0, main, total, pairs)


def as_grid(levels: NDArray[np.int_], scores: Values) -> Numbers | None:
    """Scores (N,) of levels (N, D) as (n_1, …, n_D), if each combination has exactly one."""
    y = array(scores)
    sizes = tuple(int(n) for n in levels.max(0) + 1)
    if len(y) != int(np.prod(sizes)) or len(np.unique(levels, axis=0)) != len(y):
        return None
    grid = np.empty(sizes)
    grid[tuple(levels.T)] = y
    return grid


def estimated_shares(
    levels: NDArray[np.int_], scores: Values, *, level: float = 0.95, seed: int = 0
) -> Shares:
    """Shares from scores (N,) of trials with levels (N, D), drawn from all combinations.

    An additive model is fitted by least squares, on contrasts φ of each axis' levels that are
    orthonormal over all combinations. So Var E[y | x_i] is Σ β² over the axis' contrasts, and its
    unbiased estimate V_i = Σ (β̂² − MSE·[(XᵀX)⁻¹]_kk): what chance alone would give is taken away.
    The share is V_i / (Σ V + MSE), the residual mean square being joint effects and chance. A
    pair's share is the same of the products of two axes' contrasts, fitted beside all axes.
    Intervals: the jackknife, trials left out by the hundredth (seed: which with which), and
    Student's t. Not a bootstrap: it repeats trials, and a regression takes these for a better fit.
    Raises ValueError for other shapes, scores not finite, or trials too few to tell axes apart.
    """
    y = array(scores)
    levels = np.asarray(levels)
    if levels.ndim != 2 or y.shape != levels.shape[:1] or not np.isfinite(y).all():
        raise ValueError(
            f"levels must be (N, D), scores (N,) and finite: {levels.shape}, {y.shape}"
        )
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), not {level}")
    axes = range(levels.shape[1])
    parts = [_contrasts(levels[:, i]) for i in axes]
    known = 1 + sum(part.shape[1] for part in parts)
    left = _Left(y, seed)
    found = left.fit(parts) if len(y) > known else None
    if found is None:
        raise ValueError(
            f"{len(y)} trials are too few to tell the axes apart ({known} coefficients); run more"
        )
    spread = found.chance + sum(found.variances, np.zeros_like(found.chance))
    spread = np.where(spread > (ROUNDING * np.abs(y).max()) ** 2, spread, 0.0)
    main = tuple(_estimate(v, spread, level) for v in found.variances)
    additive = _estimate(sum(found.variances, np.zeros_like(spread)), spread, level)
    joint: dict[Pair, ShareEstimate] = {}
    for i, j in combinations(axes, 2):
        both = (parts[i][:, :, None] * parts[j][:, None]).reshape(len(y), -1)
        if both.shape[1] and len(y) >= 2 * (known + both.shape[1]):
            fit = left.fit([*parts, both])
            if fit is not None:
                joint[i, j] = _estimate(fit.variances[-1], spread, level)
    return Shares(main, additive, joint, len(y), known)


@dataclass(frozen=True)
class _Fit:
    """Of all trials, and without each group, (1 + G,) each: of each part the variance that it
    explains, and the residual mean square."""

    variances: list[Numbers]
    chance: Numbers


class _Left:
    """Least squares of the same scores on several sets of columns, and again without each group."""

    def __init__(self, y: Numbers, seed: int) -> None:
        self.y = y - y.mean()
        order = np.random.default_rng(seed).permutation(len(y))
        self.groups = np.array_split(order, min(len(y), GROUPS))
        self.counts = len(y) - np.array([0, *map(len, self.groups)])
        self.squares = self._sums(self.y[:, None], self.y[:, None])[:, 0, 0]

    def fit(self, parts: Sequence[Numbers]) -> _Fit | None:
        """On an intercept and these columns; None if they cannot be told apart."""
        x = np.concatenate([np.ones((len(self.y), 1)), *parts], 1)
        values, vectors = np.linalg.eigh(self._sums(x, x))  # (1 + G, P), (1 + G, P, P)
        kept = values > ROUNDING * values.max(-1, keepdims=True)
        if not kept[0].all():
            return None
        inverse = np.where(kept, 1 / np.where(kept, values, 1.0), 0.0)
        along = np.einsum("gpk,gp->gk", vectors, self._sums(x, self.y[:, None])[:, :, 0])
        beta = np.einsum("gpk,gk->gp", vectors, along * inverse)
        residual = np.maximum(self.squares - (along**2 * inverse).sum(-1), 0.0)
        chance = residual / np.maximum(self.counts - kept.sum(-1), 1)
        own = np.einsum("gpk,gk->gp", vectors**2, inverse) * chance[:, None]  # Var β̂
        unbiased = beta**2 - own
        ends = np.cumsum([1, *(part.shape[1] for part in parts)])
        variances = [unbiased[:, a:b].sum(-1) for a, b in pairwise(ends)]
        return _Fit(variances, chance)

    def _sums(self, x: Numbers, z: Numbers) -> Numbers:
        """xᵀz of all trials, and without each group: (1 + G, P, Q)."""
        every = x.T @ z
        return np.stack([every, *(every - x[rows].T @ z[rows] for rows in self.groups)])


def _estimate(variance: Numbers, spread: Numbers, level: float) -> ShareEstimate:
    """A share with the jackknife's interval, from those of all trials and without each group."""
    from scipy.stats import t

    shares = np.where(spread > 0, variance / np.where(spread > 0, spread, 1.0), 0.0)
    share, groups = float(shares[0]), len(shares) - 1
    error = ((groups - 1) / groups * ((shares[1:] - shares[1:].mean()) ** 2).sum()) ** 0.5
    half = float(t.ppf((1 + level) / 2, groups - 1) * error)
    return ShareEstimate(share, share - half, share + half)


def _contrasts(levels: NDArray[np.int_]) -> Numbers:
    """Of the levels that occur, K columns less one (N, K − 1), orthonormal over equally likely ones
    and to the constant."""
    there, which = np.unique(levels, return_inverse=True)
    k = len(there)
    basis, _ = np.linalg.qr(np.concatenate([np.ones((k, 1)), np.eye(k)[:, 1:]], 1))
    contrasts: Numbers = basis[:, 1:] * k**0.5
    return contrasts[which]
