"""U(x | source) = −logits of overlapping patches (Isola et al. 2016): an energy for each patch."""

import torch
from torch import Tensor, nn

from energan.core import Energy, Scored, SettingError, Stream, exact


class Patches(Energy):
    """Energy of a patch discriminator: one negated logit per patch, (B, h, w) (Isola et al. 2016).

    Patches are not averaged here, because the mean of their softplus is not the softplus of
    their mean.

    Args:
        network: from x and its source, concatenated, (B, C + C', H, W), to logits (B, 1, h, w).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        if condition is None:
            raise SettingError(
                "this energy needs an image and its source: use data in pairs (data.direction)"
            )
        logits = self.network(torch.cat([condition, x], 1), stream)
        return Scored(energy=-exact(logits).squeeze(1))
