"""The discriminator that judges patches (Isola et al. 2016, appendix 6.1.2)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from energan.core import SettingError
from energan.nets.conv import SLOPE, down
from energan.nets.dense import Sequential
from energan.nets.instance_norm import PresentNorm

KERNEL = 4


def patch_logits(inputs: int, widths: Sequence[int], *, each: bool = False) -> Sequential:
    """Images (B, inputs, H, W) -> logits (B, 1, h, w), one for each of the overlapping patches.

    4×4 convolutions: widths[:-1] with stride 2, widths[-1] and the logits with stride 1; LeakyReLU
    0.2 and, but for the first layer and the logits, normalisation. The published widths
    64-128-256-512 see 70×70 pixels a logit, and of 256×256 make 30×30 logits.

    each: see PresentNorm.
    """
    if len(widths) < 2:
        raise ValueError("a patch discriminator needs two layers or more")
    layers: list[nn.Module] = [down(inputs, widths[0], bias=True), nn.LeakyReLU(SLOPE)]
    for i, (narrow, wide) in enumerate(pairwise(widths), 2):
        convolution = _same(narrow, wide) if i == len(widths) else down(narrow, wide, bias=False)
        layers += [convolution, PresentNorm(wide, each=each), nn.LeakyReLU(SLOPE)]
    return Sequential(*layers, nn.Conv2d(widths[-1], 1, KERNEL, padding=1))


def _same(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, KERNEL, padding=1, bias=False)


def strides(widths: Sequence[int]) -> tuple[int, ...]:
    """Of all convolutions, the logits' included: 2-2-2-1-1 for four widths."""
    return (*(2 for _ in widths[:-1]), 1, 1)


def receptive_field(widths: Sequence[int]) -> int:
    """Side of the patch that one logit sees: 70 for four widths."""
    side = 1
    for stride in reversed(strides(widths)):
        side = (side - 1) * stride + KERNEL
    return side


def check_patches(widths: Sequence[int], height: int, width: int) -> None:
    """Raise SettingError if images of these sides leave no patch."""
    side = min(height, width)
    for stride in strides(widths):
        side = (side + 2 - KERNEL) // stride + 1
    if side < 1:
        raise SettingError(
            f"model.discriminator: after {len(widths)} layers nothing is left of images of "
            f"{width}x{height}: use fewer layers, or larger images (--data.size)"
        )
