"""Under autocast the terms keep full precision: energies, cosines and losses never are in bf16."""

import torch

from energan.objectives import pull_away


def test_the_pulling_away_term_is_the_same_under_autocast() -> None:
    codes = torch.randn(16, 40) + 3.0
    exact = float(pull_away(codes.double()))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = codes @ codes.T
        inside = pull_away(codes)
    assert rounded.dtype == torch.bfloat16  # autocast was on
    assert inside.dtype == torch.float32
    assert abs(float(inside) - exact) < 1e-6
