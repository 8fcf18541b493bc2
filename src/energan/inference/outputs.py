"""What an energy gives of examples beside U: reconstructions, codes, logits."""

from collections.abc import Callable

import torch
from torch import Tensor

from energan.core import Scored
from energan.inference.conditions import AT_ONCE

Score = Callable[[Tensor], Scored]
"""x (B, *event), as a run scores it."""


@torch.no_grad()
def collect(score: Score, x: Tensor, output: Callable[[Scored], Tensor | None]) -> Tensor:
    """One output of x (B, *event), some examples at a time: float (B, ...), on the CPU.

    output: what of `Scored`; the energy must have it.
    """
    parts = [output(score(part)) for part in x.split(AT_ONCE)]
    return torch.cat([part.float().cpu() for part in parts if part is not None])
