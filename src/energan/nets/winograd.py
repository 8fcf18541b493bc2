"""3×3 convolutions with a quarter of the products, where only the gradient in x is wanted.

    y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ d B)]A         d a 6×6 tile of x, y its 4×4 outputs: 36 products, not 144

Winograd's F(4×4, 3×3) (Lavin & Gray 2016): G evaluates the kernel's polynomial at six points, Bᵀ
the tile, Aᵀ interpolates. The points 0, 1, −1, ½, −2, ∞ are closed under p → −1/p, which flips the
kernel's taps and alternates their signs: so that G w Gᵀ serves the gradient as well, with other A
and B. The largest error is some 3e-6 of the largest output, direct convolution's 1.5e-6.

A chain calls frozen weights many times: within `energan.core.frozen_weights` G w Gᵀ is computed
once for each, and only there is it used.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from energan.core import kept_while_frozen

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and ∞
PARTNERS, GAINS = (5, 2, 1, 4, 3, 0), (1.0, 1.0, 1.0, 0.25, 4.0, 1.0)
"""For each point p the value −1/p, and p² (1 for 0 and ∞)."""
OUT, TAPS, TILE = 4, 3, 6
ONE = 1 * TILE + 1
"""Index of (1, 1) among the 36 points: its value is added to every output."""
LEAST_MAPS, LEAST_TILES, TILES_AT_ONCE = 64, 16, 256


class TileTransforms(NamedTuple):
    """Bᵀ ⊗ Bᵀ (36, 36) and Aᵀ ⊗ Aᵀ (16, 36)."""

    into: Tensor
    back: Tensor


def _powers(count: int) -> Tensor:
    """(6, count): the powers of each point; of ∞ the last alone."""
    p = torch.tensor(POINTS, dtype=torch.float64)[:, None] ** torch.arange(count)
    return torch.cat([p, torch.eye(count, dtype=torch.float64)[-1:]])


def _transforms(into: Tensor, back: Tensor) -> TileTransforms:
    return TileTransforms(torch.kron(into, into).float(), torch.kron(back, back).float())


_A, _G, _B = _powers(OUT).T, _powers(TAPS), torch.linalg.inv(_powers(TILE)).T
_SIGNS = torch.tensor([1.0, -1.0] * 3, dtype=torch.float64)
FORWARD = _transforms(_B, _A)
FLIPPED = _transforms(
    _B[list(PARTNERS)] * _SIGNS,
    _SIGNS[:OUT, None] * (_A * torch.tensor(GAINS))[:, list(PARTNERS)],
)


def is_faster(x: Tensor, weight: Tensor) -> bool:
    """Whether the convolution of x (B, I, H, W) by weight (O, I, 3, 3) is better done here."""
    batch, _, height, width = x.shape
    return (
        kept_while_frozen() is not None
        and x.requires_grad
        and torch.is_grad_enabled()
        and not weight.requires_grad
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and min(weight.shape[:2]) >= LEAST_MAPS
        and batch * (height // OUT) * (width // OUT) >= LEAST_TILES
    )


def transformed(weight: Tensor) -> Tensor:
    """(O, I, 3, 3) -> (36, I, O), kept within `frozen_weights`."""
    kept = kept_while_frozen()
    if kept is not None and id(weight) in kept:
        known: Tensor = kept[id(weight)][1]
        return known
    outputs, inputs = weight.shape[:2]
    flat = weight.detach().permute(2, 3, 1, 0).reshape(TAPS**2, -1)
    made = (torch.kron(_G, _G).to(weight) @ flat).view(-1, inputs, outputs)
    if kept is not None:
        kept[id(weight)] = weight, made
    return made


def convolve_tiles(
    x: Tensor, kernel: Tensor, transforms: TileTransforms, slope: float, bias: Tensor | None
) -> Tensor:
    """leaky(x) (B, I, H, W) by a transformed kernel (36, I, O) -> (B, O, H, W), channels-last.

    slope: 1 for x as it is. A few images at a time: what is between stays in the cache.
    """
    batch, inputs, height, width = x.shape
    outputs, down, across = kernel.shape[2], -(-height // OUT), -(-width // OUT)
    size = max(1, min(batch, TILES_AT_ONCE // (down * across)))
    padded = x.new_zeros(size, down * OUT + 2, across * OUT + 2, inputs)
    s = padded.stride()
    strides = (s[0], OUT * s[1], OUT * s[2], s[1], s[2], 1)
    tiles = padded.as_strided((size, down, across, TILE, TILE, inputs), strides)
    y = torch.empty(
        batch, outputs, down * OUT, across * OUT, memory_format=torch.channels_last
    )  # float32 on the CPU, as x is
    places = y.permute(0, 2, 3, 1).view(batch, down, OUT, across, OUT, outputs)
    for part, place in zip(x.permute(0, 2, 3, 1).split(size), places.split(size), strict=True):
        n = len(part)
        inner = padded[:n, 1 : height + 1, 1 : width + 1]
        torch.ops.aten.leaky_relu.out(part, slope, out=inner)
        d = tiles[:n].reshape(-1, TILE**2, inputs)  # (T, 36, I)
        d = torch.bmm(transforms.into.expand(len(d), -1, -1), d)
        m = torch.bmm(d.transpose(0, 1), kernel)  # (36, T, O)
        if bias is not None:
            m[ONE] += bias
        m = torch.bmm(transforms.back.expand(len(d), -1, -1), m.transpose(0, 1))  # (T, 16, O)
        place.copy_(m.view(n, down, across, OUT, OUT, outputs).transpose(2, 3))
    if y.shape[2:] == x.shape[2:]:
        return y
    return y[:, :, :height, :width].clone(memory_format=torch.channels_last)


class _Convolve(torch.autograd.Function):
    """leaky(x) convolved; the gradient in x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, slope: float) -> Tensor:
        kernel = transformed(weight)
        ctx.save_for_backward(x, kernel)
        ctx.slope = slope
        return convolve_tiles(x, kernel, FORWARD, slope, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        x, kernel = ctx.saved_tensors
        left = convolve_tiles(gradient, kernel.transpose(1, 2), FLIPPED, 1.0, None)
        torch.ops.aten.leaky_relu_backward.grad_input(left, x, ctx.slope, False, grad_input=left)
        return left, None, None, None


def after_leaky(x: Tensor, weight: Tensor, bias: Tensor | None, slope: float) -> Tensor:
    """The 3×3 convolution of leaky(x) that keeps the sides."""
    if is_faster(x, weight):
        found: Tensor = _Convolve.apply(x, weight, bias, slope)  # type: ignore[no-untyped-call]
        return found
    return F.conv2d(F.leaky_relu(x, slope), weight, bias, padding=1)
