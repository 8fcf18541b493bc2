"""Smoothing of maps, so that one noisy cell is no defect."""

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import full_precision

REACH = 3
"""Radius of the Gaussian, in standard deviations."""


def smooth(maps: Tensor, deviation: float) -> Tensor:
    """Maps (B, H, W) after a Gaussian of that standard deviation, in cells; the border is repeated
    beyond it."""
    reach = int(REACH * deviation + 0.5)
    at = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
    kernel = torch.exp(-0.5 * (at / deviation) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    found = F.pad(maps.unsqueeze(1), (reach, reach, reach, reach), mode="replicate")
    with full_precision(maps):
        found = F.conv2d(found, kernel.unsqueeze(2))
        return F.conv2d(found, kernel.unsqueeze(3)).squeeze(1)
