"""The ladder network (Rasmus et al. 2015; Pezeshki et al. 2015), fully connected.

A noisy encoder and a decoder, joined at every layer by a combinator. With x = z̃⁰ − n⁰ and N the
normalisation by the statistics of the own part of the batch:

    z̃ˡ = N(Wˡ h̃ˡ⁻¹) + nˡ,   h̃ˡ = ReLU(z̃ˡ + βˡ);   no ReLU on the top layer, whose h are the logits
    uᴸ = N(softmax(h̃ᴸ)),    uˡ = N(Vˡ⁺¹ ẑˡ⁺¹),    u⁰ too;    ẑˡ = g(z̃ˡ, uˡ)

The clean pass is the same without noise. A ReLU makes a scale γ superfluous, so there is only β;
the top layer has no ReLU, and may have one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from energan.core import Stream, exact
from energan.nets.dense import BatchNorm, Dense, GaussianNoise

Parts = Mapping[Stream, Tensor]
"""Batches that pass through the network together, each normalised by its own statistics."""


class Combinator(nn.Module):
    """ẑ = (z̃ − μ(u))·v(u) + μ(u), each unit with ten numbers of its own.

    μ = a₁·σ(a₂u + a₃) + a₄u + a₅, and v the same with a₆ to a₁₀; at first a₂ = a₇ = 1, the rest 0.
    """

    takes_members = True

    def __init__(self, units: int) -> None:
        super().__init__()
        start = torch.zeros(10, units)
        start[[1, 6]] = 1.0
        self.a = nn.Parameter(start)

    def forward(self, lateral: Tensor, above: Tensor) -> Tensor:
        """z̃ and u (..., B, units) -> ẑ."""
        lateral, above = exact(lateral), exact(above)
        if torch.is_grad_enabled():
            found: Tensor = _Combine.apply(lateral, above, self.a)  # type: ignore[no-untyped-call]
            return found
        return _combine(lateral, above, self.a)[0]


def _combine(z: Tensor, u: Tensor, a: Tensor) -> tuple[Tensor, ...]:
    """ẑ, and what its gradient is made of: z̃ − μ, v and both sigmoids."""
    a1, a2, a3, a4, a5, a6, a7, a8, a9, a10 = a.unsqueeze(-2).unbind(-3)
    first = torch.addcmul(a3, a2, u).sigmoid_()
    second = torch.addcmul(a8, a7, u).sigmoid_()
    mean = torch.addcmul(a5, a4, u).addcmul_(a1, first)
    scale = torch.addcmul(a10, a9, u).addcmul_(a6, second)
    off = z - mean
    return mean.addcmul_(off, scale), off, scale, first, second


class _Combine(torch.autograd.Function):
    """The same with a gradient by hand: a third of the passes that autograd makes over it."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, u: Tensor, a: Tensor) -> Tensor:
        found, *kept = _combine(z, u, a)
        ctx.save_for_backward(u, a, *kept)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        u, a, off, scale, first, second = ctx.saved_tensors
        by_z = given * scale
        by_mean, by_scale = given - by_z, given * off
        by_u, numbers = torch.zeros_like(u), []
        for g, s, five in ((by_mean, first, a[..., :5, :]), (by_scale, second, a[..., 5:, :])):
            b1, b2, _, b4, _ = five.unsqueeze(-2).unbind(-3)
            inner = torch.addcmul(s, s, s, value=-1).mul_(g)  # σ' = σ − σ²
            by_u.addcmul_(g, b4).addcmul_(inner, b1 * b2)
            if ctx.needs_input_grad[2]:  # not where the network rests
                numbers += [(g * s).sum(-2), five[..., 0, :] * (inner * u).sum(-2)]
                numbers += [five[..., 0, :] * inner.sum(-2), (g * u).sum(-2), g.sum(-2)]
        return by_z, by_u, torch.stack(numbers, -2) if numbers else None


class Shift(nn.Module):
    """x + β, or γ·(x + β)."""

    takes_members = True

    def __init__(self, units: int, *, scale: bool = False) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(units))
        self.weight = nn.Parameter(torch.ones(units)) if scale else None

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.bias.unsqueeze(-2)
        return x if self.weight is None else x * self.weight.unsqueeze(-2)


@dataclass(frozen=True)
class EncoderPass:
    """What one part of a batch left on its way up.

    layers: z of each layer, the input's first. sums: Wh of each but the input, before N.
    """

    layers: tuple[Tensor, ...]
    sums: tuple[Tensor, ...]
    logits: Tensor


class Ladder(nn.Module):
    """Encoder, decoder and combinators of layers `widths`, the input first and the classes last.

    top_scale: whether the logits have a γ, as Rasmus et al. 2015 have it.
    """

    def __init__(self, widths: Sequence[int], noise: float, *, top_scale: bool = False) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.up = nn.ModuleList(Dense(a, b, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(BatchNorm(n, scale=False, shift=False) for n in widths[1:])
        self.shifts = nn.ModuleList(Shift(n) for n in widths[1:-1])
        self.shifts.append(Shift(widths[-1], scale=top_scale))
        self.noise = GaussianNoise(noise)
        self.down = nn.ModuleList(Dense(b, a, bias=False) for a, b in pairwise(widths))
        self.down_norms = nn.ModuleList(BatchNorm(n, scale=False, shift=False) for n in widths)
        self.combinators = nn.ModuleList(Combinator(n) for n in widths)

    def encode(self, parts: Parts, *, noisy: bool = True) -> dict[Stream, EncoderPass]:
        """The encoder on parts (..., B, inputs) together; stream "eval" and noisy=False are clean.

        Each weight is read once for all parts, and each part is normalised by itself.
        """
        sizes = [x.shape[-2] for x in parts.values()]
        h = torch.cat(list(parts.values()), -2)
        z = self._noise(h, parts, noisy)
        h, layers, sums = z, [z], []
        last = len(self.up) - 1
        for i, (dense, norm, shift) in enumerate(
            zip(self.up, self.norms, self.shifts, strict=True)
        ):
            sums.append(dense(h))
            z = self._noise(self._each(norm, sums[-1], parts, sizes), parts, noisy)
            layers.append(z)
            h = shift(z) if i == last else F.relu(shift(z))
        ends = [[x.split(sizes, -2) for x in each] for each in (layers, sums, [h])]
        found: dict[Stream, EncoderPass] = {}
        for i, stream in enumerate(parts):
            own_layers, own_sums, (logits,) = (tuple(x[i] for x in each) for each in ends)
            found[stream] = EncoderPass(own_layers, own_sums, logits)
        return found

    def decode(self, encoded: Mapping[Stream, EncoderPass]) -> dict[Stream, tuple[Tensor, ...]]:
        """The decoder: ẑ (..., B, units) of each part and layer, the input's first."""
        laterals = [
            torch.cat(z, -2) for z in zip(*(c.layers for c in encoded.values()), strict=True)
        ]
        sizes = [c.logits.shape[-2] for c in encoded.values()]
        u = torch.cat([c.logits for c in encoded.values()], -2).softmax(-1)
        found: list[Tensor] = []
        for i in reversed(range(len(self.widths))):
            if found:
                u = self.down[i](found[-1])
            u = self._each(self.down_norms[i], u, encoded, sizes)
            found.append(self.combinators[i](laterals[i], u))
        split = [z.split(sizes, -2) for z in reversed(found)]
        return {stream: tuple(z[i] for z in split) for i, stream in enumerate(encoded)}

    def errors(self, stream: Stream, clean: EncoderPass, guesses: Sequence[Tensor]) -> list[Tensor]:
        """‖zˡ − ẑˡ‖² (..., B) of each layer above the input.

        zˡ is the clean encoder's, and ẑˡ is normalised by the statistics of its sums (Rasmus et
        al. 2015, algorithm 1).
        """
        found = []
        for layer, z, total, guess in zip(
            self.norms, clean.layers[1:], clean.sums, guesses[1:], strict=True
        ):
            norm = cast(BatchNorm, layer)
            mean, variance = norm.statistics(total, stream)
            scaled = (guess - mean) * (variance + norm.eps).rsqrt()
            found.append((exact(z) - exact(scaled)).square().sum(-1))
        return found

    def _noise(self, x: Tensor, parts: Mapping[Stream, object], noisy: bool) -> Tensor:
        return self.noise(x, next(iter(parts)) if noisy else "eval")  # type: ignore[no-any-return]

    @staticmethod
    def _each(
        norm: nn.Module, x: Tensor, streams: Mapping[Stream, object], sizes: Sequence[int]
    ) -> Tensor:
        """Every part normalised by itself."""
        if len(sizes) == 1:
            return norm(x, next(iter(streams)))  # type: ignore[no-any-return]
        pieces = zip(x.split(list(sizes), -2), streams, strict=True)
        return torch.cat([norm(piece, stream) for piece, stream in pieces], -2)
