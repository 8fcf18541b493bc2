"""Terms that several objectives share."""

import torch
from torch import Tensor

from energan.core import full_precision


def pull_away(codes: Tensor, eps: float = 1e-8) -> Tensor:
    """The pulling-away term f_PT of EBGAN-PT (Zhao et al. 2017, eq. 14).

        f_PT = 1/(N(N−1)) Σ_i Σ_{j≠i} (S_iᵀS_j / (‖S_i‖‖S_j‖))²

    The mean squared cosine over all pairs of codes: 1 if all codes are parallel or opposite, 0
    if they are orthogonal.

    Args:
        codes: codes of N samples, (..., N, S).
        eps: smallest norm; a code of norm 0 contributes 0 rather than NaN.

    Returns:
        (...), in [0, 1].

    Raises:
        ValueError: for fewer than two codes.
    """
    n = codes.shape[-2]
    if n < 2:
        raise ValueError(
            f"the pulling-away term compares pairs of codes and got {n}: use a batch of at least 2"
        )
    # Unit rows without a root at 0: the gradient of a norm there is not finite.
    squares = codes.square().sum(-1, keepdim=True)
    unit = codes * torch.rsqrt(squares.clamp_min(eps * eps))
    with full_precision(codes):  # cosines are never in half precision
        cosines = unit @ unit.transpose(-2, -1)  # (..., N, S) -> (..., N, N)
    squared = cosines.square()
    off_diagonal = squared.sum((-2, -1)) - squared.diagonal(dim1=-2, dim2=-1).sum(-1)
    return off_diagonal / (n * (n - 1))


def absolute_difference(made: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference, the L1 term of pix2pix (Isola et al. 2016, eq. 3).

    It is a mean over all values and not a sum; the published weight of 100 is for a mean.

    Args:
        made: values of the results, (..., N).
        real: values of the targets, (..., N).

    Returns:
        (...), ≥ 0.
    """
    return (made - real).abs().mean(-1)
