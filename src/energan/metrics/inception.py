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
    """Inception score, exp(E_x KL(p(y|x) ‖ p(y))) (Salimans et al. 2016).

    Args:
        probabilities: p(y|x), (N, K), rows that sum to 1; a probability of 0 contributes 0.
        log_probabilities: log p(y|x), (N, K), in place of `probabilities`.

    Returns:
        In [1, K]; higher is better.

    Raises:
        ValueError: unless exactly one argument is given and its rows sum to 1.
    """
    conditional, marginal = log_distributions(probabilities, log_probabilities)
    return float(_divergence(conditional, marginal).mean().exp())


def modified_inception_score(
    probabilities: Values | None = None, *, log_probabilities: Values | None = None
) -> float:
    """Modified inception score, I′ = E_x KL(p(y) ‖ p(y|x)) (Zhao et al. 2017, section 4.1).

    Compared with the inception score the arguments of KL are swapped, and there is no
    exponential. It depends on the classifier, so scores by different classifiers do not compare.

    Args:
        probabilities: p(y|x), (N, K), rows that sum to 1.
        log_probabilities: log p(y|x), (N, K), in place of `probabilities`. Prefer it: in float32
            small probabilities are rounded to 0, and the score is infinite if some p(y|x) is 0
            where p(y) is not.

    Returns:
        ≥ 0; higher is better.

    Raises:
        ValueError: unless exactly one argument is given and its rows sum to 1.
    """
    conditional, marginal = log_distributions(probabilities, log_probabilities)
    return float(_divergence(marginal, conditional).mean())


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) of log-probabilities that broadcast to (N, K), -> (N,)."""
    p, q = torch.broadcast_tensors(p, q)
    # Where p is 0 the term is 0, also where q is 0 and the difference of logarithms is NaN.
    return torch.where(p.isneginf(), 0.0, p.exp() * (p - q)).sum(1)
