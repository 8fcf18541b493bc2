"""What the metrics share: values as float64, sets of vectors and distributions, distances."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Values = Tensor | NDArray[Any]
Rows = NDArray[np.float64]
TOLERANCE = 1e-4
"""How far from 1 a row of probabilities may sum up to: above what float32 rounding does, below a
mistake."""


def array(values: Values) -> Rows:
    """A tensor of any device and type, or what numpy takes, as float64; not always a copy."""
    if isinstance(values, Tensor):
        return values.detach().to("cpu", torch.float64).numpy()
    return np.asarray(values, dtype=np.float64)


def rows(values: Values, what: str = "features", fewest: int = 1) -> Rows:
    """Vectors (N, D), or events (N, *event) flattened, as float64; not always a copy.

    Raises ValueError, naming `what` they are, if they are no such set, or not finite.
    """
    found = array(values)
    if found.ndim < 2 or found.size == 0:
        raise ValueError(f"{what} must be (N, D), not empty: they are {found.shape}")
    if len(found) < fewest:
        raise ValueError(f"at least {fewest} {what} are needed: there are {len(found)}")
    flat = found.reshape(len(found), -1)
    if not np.isfinite(flat).all():
        raise ValueError(f"{what} must be finite")
    return flat


def pair(a: Values, b: Values, fewest: int = 1) -> tuple[Rows, Rows]:
    """Two sets of vectors of one length."""
    first, second = rows(a, fewest=fewest), rows(b, fewest=fewest)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"vectors differ in length: {first.shape[1]} and {second.shape[1]}")
    return first, second


def squared_distances(a: Rows, b: Rows, size: int) -> Iterator[tuple[int, Tensor]]:
    """Where each block of `size` rows of a (N, D) begins, and its squared distances (n, M), ≥ 0, to
    all of b (M, D), by one product of matrices; writable arrays."""
    y = torch.from_numpy(b)
    squares = y.square().sum(1)
    for start in range(0, len(a), max(1, size)):
        x = torch.from_numpy(a[start : start + max(1, size)])
        found = torch.addmm(squares, x, y.T, alpha=-2)
        yield start, found.add_(x.square().sum(1, keepdim=True)).clamp_min_(0)


def log_distributions(
    probabilities: Values | None, log_probabilities: Values | None
) -> tuple[Tensor, Tensor]:
    """log p(y|x) (N, K) and log p(y) (1, K), float64, of whichever is given; checked."""
    if (probabilities is None) == (log_probabilities is None):
        raise ValueError("give either probabilities or log_probabilities")
    given = probabilities if log_probabilities is None else log_probabilities
    values = torch.as_tensor(np.asarray(given) if not isinstance(given, Tensor) else given.detach())
    values = values.to(torch.float64)
    if values.dim() != 2 or values.numel() == 0:
        raise ValueError(f"probabilities must be (N, K), not empty: they are {tuple(values.shape)}")
    if log_probabilities is None:
        if not values.isfinite().all() or (values < 0).any():
            raise ValueError("probabilities must be finite and not negative")
        values = values.log()
    elif values.isnan().any() or values.isposinf().any():
        raise ValueError("log-probabilities must not be NaN or +inf")
    sums = values.logsumexp(1, keepdim=True)
    worst = float((sums.exp() - 1).abs().max())
    if not worst <= TOLERANCE:
        raise ValueError(f"each row must sum to 1: one is off by {worst:.3g}; apply softmax first")
    conditional = values - sums
    return conditional, conditional.logsumexp(0, keepdim=True) - np.log(len(values))


def check_scores(values: Values) -> NDArray[np.float64]:
    """Scores (N,). Raises ValueError for another shape, none, or values that are not finite."""
    found = array(values)
    if found.ndim != 1 or not len(found):
        raise ValueError(f"scores must be (N,), not empty: they are {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError("scores must be finite")
    return found


def check_labelled(
    scores: Values, anomalous: Values
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores (N,), and which are anomalous, bool (N,). Raises ValueError if they do not fit, or all
    are of one kind."""
    s, a = check_scores(scores), check_marks(anomalous)
    if a.shape != s.shape:
        raise ValueError(f"{a.shape} marks do not fit {s.shape} scores")
    if a.all() or not a.any():
        raise ValueError("there must be both normal and anomalous examples")
    return s, a


def check_marks(values: Values) -> NDArray[np.bool_]:
    """As bool. Raises ValueError for other values than 0 and 1."""
    found = array(values)
    if not np.isin(found, (0, 1)).all():
        raise ValueError("marks must be yes and no, or 1 and 0")
    return found.astype(bool)
