"""U(x | source) = −logits of overlapping patches (Isola et al. 2016): an energy for each patch."""

import torch
from torch import Tensor, nn

from energan.core import Energy, Scored, SettingError, Stream, exact


class Patches(Energy):
    """The negated logits of a network (B, C + C', H, W) -> (B, 1, h, w); energy (B, h, w).

    x (B, C, H, W) is scored with the source (B, C', H, W) that it is to belong to. The cells stay
    apart, because the mean of their softplus is not the softplus of their mean.
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
