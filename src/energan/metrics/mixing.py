"""Whether chains have forgotten where they began: split R̂ and the effective sample size.

Of draws x (S, N) of N chains, S each; both halves of a chain count as chains (2N of n = S/2 draws):

    R̂   = √(((n − 1)/n · W + B/n)/W)       W: the mean variance within chains, B/n: that of means
    ESS = 2N·n/τ,  τ = −1 + 2 Σ ρ_t         ρ_t: autocorrelation at lag t over all chains

(Gelman et al. 2013, sections 11.4 and 11.5), the sum by Geyer's initial monotone sequence. Both are
of the draws' ranks, turned into normal scores, so that no moments need exist; R̂ is the larger of
that of the draws and of their distances from the median, which sees chains of unlike width (Vehtari
et al. 2021, eqs 13 to 15).
"""

import numpy as np
import torch
from scipy.stats import norm, rankdata
from torch import Tensor

from energan.metrics.arrays import Values

LEAST = 4
"""Draws of a chain that its halves need at least."""
MIXED = 1.1
"""Split R̂ above which chains count as not mixed (Gelman et al. 2013); below 1.01 is good."""


def split_rhat(draws: Values) -> float:
    """Rank-normalised split R-hat (Vehtari et al. 2021).

    Args:
        draws: (S, N), S draws of each of N chains, S ≥ 4.

    Returns:
        Near 1 if the chains agree, below 1.01 is good; NaN if all draws are equal.

    Raises:
        ValueError: for fewer than 4 draws per chain, or values that are not finite.
    """
    halves = split_chains(draws)
    away = (halves - float(np.median(halves.numpy()))).abs()
    return max(_rhat(normal_scores(halves)), _rhat(normal_scores(away)))


def effective_sample_size(draws: Values) -> float:
    """Bulk effective sample size: how many independent draws estimate the mean as well (Vehtari et
    al. 2021).

    Args:
        draws: (S, N), S draws of each of N chains, S ≥ 4.

    Returns:
        At most S·N·log₁₀(S·N); NaN if all draws are equal.

    Raises:
        ValueError: for fewer than 4 draws per chain, or values that are not finite.
    """
    return _ess(normal_scores(split_chains(draws)))


def split_chains(draws: Values) -> Tensor:
    """(S, N) -> float64 (S // 2, 2N): the halves of each chain; the middle one of an odd S goes."""
    x = torch.as_tensor(draws).detach().double().cpu()
    if x.dim() != 2 or len(x) < LEAST or not x.shape[1]:
        raise ValueError(f"draws must be (S, N), S at least {LEAST}: they are {tuple(x.shape)}")
    if not bool(x.isfinite().all()):
        raise ValueError("draws are not finite")
    half = len(x) // 2
    return torch.cat([x[:half], x[-half:]], 1)


def normal_scores(x: Tensor) -> Tensor:
    """Φ⁻¹((r − 3/8)/(S + 1/4)) of ranks r among all S values; equal ones share the mean rank."""
    ranks = rankdata(x.numpy(), method="average").reshape(x.shape)
    return torch.from_numpy(norm.ppf((ranks - 0.375) / (x.numel() + 0.25)))


def _rhat(x: Tensor) -> float:
    n = len(x)
    within = x.var(0).mean()
    return float((((n - 1) / n * within + x.mean(0).var()) / within).sqrt())


def _ess(x: Tensor) -> float:
    n, chains = x.shape
    autocovariance = _autocovariance(x).mean(1)
    within = autocovariance[0] * n / (n - 1)
    plus = autocovariance[0] + (x.mean(0).var() if chains > 1 else 0)
    if not float(plus) > 0:
        return float("nan")
    rho = (1 - (within - autocovariance) / plus).numpy()
    rho[0] = 1
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(1)  # of neighbours, which are positive in truth
    stop = int(np.argmax(pairs <= 0)) if bool((pairs <= 0).any()) else len(pairs)
    monotone = np.minimum.accumulate(pairs[:stop])
    tau = -1 + 2 * float(monotone.sum())
    if stop < len(pairs):  # the first half of the pair that broke off, if it is positive
        tau += max(float(rho[2 * stop]), 0.0)
    total = n * chains
    return total / max(tau, 1 / float(np.log10(total)))


def _autocovariance(x: Tensor) -> Tensor:
    """(n, C) -> (n, C) at lags 0 to n − 1, divided by n."""
    n = len(x)
    spectrum = torch.fft.rfft(x - x.mean(0), n=2 * n, dim=0)
    found: Tensor = torch.fft.irfft(spectrum.abs().square(), n=2 * n, dim=0)[:n] / n
    return found
