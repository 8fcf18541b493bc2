"""The Gaussian Parzen window of the 2014 paper: a log-likelihood from samples alone.

p(x) = (1/N) Σ_i N(x; s_i, σ²I), the s_i samples of the model (Goodfellow et al. 2014, section 5,
after Breuleux et al. 2009). Distances are ||x||² + ||s||² − 2x·s in float64, about the samples'
mean: at the small σ in use, an error of 1e-4 in a squared distance would be one of 0.005 nats.

scikit-learn's KernelDensity (1.9) agrees to 1e-12 with one leaf, leaf_size ≥ N; its trees with
smaller leaves are off by hundreds of nats at 784 numbers, in the model's favour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, pi

import numpy as np
import torch
from torch import Tensor

from energan.metrics.arrays import Rows, Values, rows, squared_distances

SIGMAS: tuple[float, ...] = tuple(float(s) for s in np.logspace(-1, 0, 10))
"""Ten widths, log-spaced in [0.1, 1]."""
CHUNK = 2**22
"""Distances that are held together."""


@dataclass(frozen=True)
class LogLikelihood:
    """Mean of log p over M test examples, in nats, and its standard error, s/√M."""

    mean: float
    standard_error: float


def parzen_log_likelihood(
    samples: Values, test: Values, sigma: float, *, chunk: int = CHUNK
) -> LogLikelihood:
    """Parzen-window log-likelihood: Gaussian windows of width sigma on samples (Goodfellow et al.
    2014).

    Args:
        samples: (N, D), or (N, *event), which is flattened.
        test: (M, D), or (M, *event), M ≥ 2.
        sigma: standard deviation of a window, above 0.
        chunk: number of distances held in memory at a time.

    Raises:
        ValueError: if sizes differ, a set is empty, there are fewer than two test examples,
            values are not finite, or sigma is not positive.
    """
    s, t = _rows(samples, test)
    if len(t) < 2:
        raise ValueError("a standard error needs at least two test examples")
    parts = squared_distances(t, s, chunk // len(s))
    values = torch.cat([_log_density(part, [sigma], s.shape[1])[0] for _, part in parts])
    error = float(values.std()) / len(values) ** 0.5
    return LogLikelihood(float(values.mean()), error)


def parzen_sigma(
    samples: Values,
    validation: Values,
    sigmas: Sequence[float] | None = None,
    *,
    chunk: int = CHUNK,
) -> float:
    """Choose the window width with the highest mean log-likelihood of validation examples (M, D).

    `sigmas` are the widths to choose from: ten, evenly spaced on a log scale in [0.1, 1], if not
    given. Of equal ones the first is returned.
    """
    table = parzen_validation(samples, validation, sigmas, chunk=chunk)
    return max(table, key=lambda sigma: table[sigma])


def parzen_validation(
    samples: Values,
    validation: Values,
    sigmas: Sequence[float] | None = None,
    *,
    chunk: int = CHUNK,
) -> dict[float, float]:
    """Mean log-likelihood of validation examples (M, D) for each width, computing
    distances once.
    """
    chosen = SIGMAS if sigmas is None else tuple(float(s) for s in sigmas)
    if not chosen:
        raise ValueError("give at least one sigma to choose from")
    s, v = _rows(samples, validation)
    totals = torch.zeros(len(chosen), dtype=torch.float64)
    for _, distances in squared_distances(v, s, chunk // len(s)):
        totals += _log_density(distances, chosen, s.shape[1]).sum(1)
    return dict(zip(chosen, (totals / len(v)).tolist(), strict=True))


def _rows(samples: Values, test: Values) -> tuple[Rows, Rows]:
    """Both as float64 (N, D), (M, D), about the samples' mean."""
    s, t = rows(samples, "samples"), rows(test, "test examples")
    if s.shape[1] != t.shape[1]:
        raise ValueError(f"examples differ in size: {s.shape[1]} and {t.shape[1]} numbers")
    centre = s.mean(0)
    return s - centre, t - centre


def _log_density(distances: Tensor, sigmas: Sequence[float], size: int) -> Tensor:
    """log p (S, m) at squared distances (m, N), for S widths, of events of `size` numbers."""
    made = []
    nearest = distances.min(1, keepdim=True).values
    beyond = nearest - distances  # at most 0, so that no exponential overflows
    for sigma in sigmas:
        if not 1e-100 < sigma < 1e100:
            raise ValueError(f"sigma must be positive, and its square a number: not {sigma}")
        scale = 1 / (2 * sigma**2)
        total = (beyond * scale).exp_().sum(1).log_()
        constant = log(distances.shape[1]) + size / 2 * log(2 * pi * sigma**2)
        made.append(total - nearest.squeeze(1) * scale - constant)
    return torch.stack(made)
