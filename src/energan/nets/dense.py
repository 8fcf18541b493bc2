"""Layers of fully connected networks. All take a leading member axis: x (B, F) or (M, B, F)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import Calibrated, Noisy, Stream, Streamed, exact


class Sequential(nn.Sequential, Streamed):
    """A sequence that hands the stream to the layers that take it."""

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = layer(x, stream) if isinstance(layer, Streamed) else layer(x)
        return x


class Dense(nn.Module):
    """x Wᵀ + b: weight (out, in), or (M, out, in) for a cohort of M members.

    bias: left out before a batch norm, which cancels it: its gradient is rounding noise there, and
    Adam would make steps of that.
    """

    takes_members = True

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # torch's default; recipes set their own

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.dim() == 2:
            return F.linear(x, self.weight, self.bias)
        if self.bias is None:
            return torch.bmm(x, self.weight.transpose(-2, -1))
        return torch.baddbmm(self.bias.unsqueeze(-2), x, self.weight.transpose(-2, -1))

    def extra_repr(self) -> str:
        return f"{self.weight.shape[-1]} -> {self.weight.shape[-2]}"


class Maxout(nn.Module):
    """The largest of `pieces` linear functions for each unit (Goodfellow et al. 2013)."""

    takes_members = True

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = Dense(inputs, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        # pieces outside units: the maximum then runs over long contiguous rows
        pieces: Tensor = self.linear(x).unflatten(-1, (self.pieces, -1))
        return pieces.amax(-2)


class BatchNorm(Calibrated):
    """Batch normalisation over (B,) of x (B, F), (B, F, H, W) or (M, B, F).

    Every stream but "eval" uses the statistics of its own batch and leaves no trace; "eval" uses
    those that `core.calibrating` measured. Nothing is averaged in training, so fakes and chains
    cannot enter the statistics that scoring uses.
    """

    takes_members = True
    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(
        self, features: int, *, eps: float = 1e-5, scale: bool = True, shift: bool = True
    ) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features)) if scale else None
        self.bias = nn.Parameter(torch.zeros(features)) if shift else None
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.register_buffer("count", torch.zeros(()))
        self.pooling = self._fresh = False

    def begin(self) -> None:
        self.pooling = self._fresh = True

    def end(self) -> None:
        self.pooling = False

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        if stream != "eval":
            return self._normalise(x, None, None)
        if not self.pooling:
            return self._normalise(x, self.mean, self.variance)
        self._pool(x)
        return self._normalise(x, None, None)

    def _normalise(self, x: Tensor, mean: Tensor | None, variance: Tensor | None) -> Tensor:
        members = self.mean.dim() == 2
        if members:  # (M, B, F) -> (B, M·F): each member's features are features of their own
            shape = x.shape
            x = x.transpose(0, 1).reshape(shape[1], -1)
        y = F.batch_norm(
            x,
            mean if mean is None else mean.flatten(),
            variance if variance is None else variance.flatten(),
            None if self.weight is None else self.weight.flatten(),
            None if self.bias is None else self.bias.flatten(),
            training=mean is None,
            eps=self.eps,
        )
        return y.reshape(shape[1], shape[0], -1).transpose(0, 1) if members else y

    def statistics(self, x: Tensor, stream: Stream) -> tuple[Tensor, Tensor]:
        """The mean and variance that x (..., B, F) is normalised by, each (..., 1, F)."""
        if stream == "eval" and not self.pooling:
            return self.mean.unsqueeze(-2), self.variance.unsqueeze(-2)
        x = exact(x)
        return x.mean(-2, keepdim=True), x.var(-2, correction=0, keepdim=True)

    @torch.no_grad()
    def _pool(self, x: Tensor) -> None:
        if self._fresh:  # only now: a calibration that sees nothing keeps what there was
            self._fresh = False
            for statistic in (self.mean, self.variance, self.count):
                statistic.zero_()
        x = exact(x)
        over = (1,) if self.mean.dim() == 2 else (0, *range(2, x.dim()))
        self.count += x.numel() // self.mean.numel()
        share = (x.numel() // self.mean.numel() / self.count).unsqueeze(-1)  # (1,) or (M, 1)
        mean, variance = x.mean(over), x.var(over, correction=0)
        # Pooled from deviations, not as E[x²] − E[x]², which cancels where the mean is large.
        between = (mean - self.mean).square() * share * (1 - share)
        self.variance.lerp_(variance, share).add_(between)
        self.mean.lerp_(mean, share)


class Dropout(Noisy):
    """Zero each input with probability `rate` and scale the rest; off in stream "eval".

    rate: of a cohort whose members differ in it, each one's own. A member of rate 0 draws nothing.
    """

    takes_members = True
    apart = ("rate",)
    rate: float | tuple[float, ...]

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"a dropout rate is in [0, 1), not {rate}")
        self.rate = rate

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        if stream == "eval" or self.rate == 0:
            return x
        if isinstance(self.rate, tuple):
            kept = tuple(1 - rate for rate in self.rate)
            scale = x.new_tensor([1 / share for share in kept]).view(-1, *[1] * (x.dim() - 1))
            return x * self._kept(x, kept).to(x.dtype).mul_(scale)
        if self.randomness is None:
            return F.dropout(x, self.rate, training=True)
        return x * self._kept(x, 1 - self.rate).to(x.dtype).mul_(1 / (1 - self.rate))

    def _kept(self, x: Tensor, share: float | tuple[float, ...]) -> Tensor:
        """Which of x (B, ...) or (M, B, ...) stay."""
        if self.randomness is None:
            raise ValueError("seeds that train together need a Randomness for dropout: attach one")
        shape = x.shape if self.randomness.members == 1 else x.shape[1:]
        return self.randomness.keep(share, *shape)

    def extra_repr(self) -> str:
        return f"{self.rate}"


class ReLU(Dropout):
    """max(x, 0), then dropout: one layer, so that names do not depend on whether there is any."""

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__(rate)

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        return super().forward(F.relu(x), stream)


class GaussianNoise(Noisy):
    """Add N(0, std²) to each input; off in stream "eval"."""

    takes_members = True

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        if stream == "eval" or self.std == 0:
            return x
        if self.randomness is None:
            return x + self.std * torch.randn_like(x)
        shape = x.shape if self.randomness.members == 1 else x.shape[1:]
        return torch.add(x, self.randomness.normal(*shape).to(x.dtype), alpha=self.std)


class Scaled(nn.Module):
    """The input times a fixed number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Flatten(nn.Module):
    """(..., *event) -> (..., size)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = len(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(-self.dims)


class Unflatten(nn.Module):
    """(..., size) -> (..., *event)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, self.shape)
