"""Scores of what a classifier says p(y|x) of samples, against its mean p(y) over them.

Both take probabilities (N, K), or `log_probabilities` (N, K), which are better: in float32 a
confident classifier's small probabilities round to 0, their logarithms do not. Rows are normalised
once more in float64, so that rounding in float32 does not enter the score.
"""

import torch
from torch import Tensor

from energan.metrics.arrays import Values, log_distributions


def inception_score(
    probabilities: Values | None = None, *, log_probabilities: Values | None = None
) -> float:
    """IS = exp(E_x KL(p(y|x) ‖ p(y))), in [1, K]: higher is better (Salimans et al. 2016).

    A probability of 0 contributes 0, the limit of p·log p.
    Raises ValueError unless exactly one (N, K) argument with rows that sum to 1 is given.
    """
    conditional, marginal = log_distributions(probabilities, log_probabilities)
    return float(_divergence(conditional, marginal).mean().exp())


def modified_inception_score(
    probabilities: Values | None = None, *, log_probabilities: Values | None = None
) -> float:
    """I′ = E_x KL(p(y) ‖ p(y|x)), ≥ 0: higher is better (Zhao et al. 2017, section 4.1).

    The arguments stand the other way round than in the usual score, and there is no exponential. It
    is infinite if some p(y|x) is exactly 0 where p(y) is not. That is the definition speaking, but
    in float32 it is mostly a rounded probability: pass `log_probabilities`.
    It depends on the classifier, so it compares with no score from another one.
    Raises ValueError unless exactly one (N, K) argument with rows that sum to 1 is given.
    """
    conditional, marginal = log_distributions(probabilities, log_probabilities)
    return float(_divergence(marginal, conditional).mean())


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) of log-probabilities that broadcast to (N, K), -> (N,)."""
    p, q = torch.broadcast_tensors(p, q)
    # Where p is 0 the term is 0, also where q is 0 and the difference of logarithms is NaN.
    return torch.where(p.isneginf(), 0.0, p.exp() * (p - q)).sum(1)
