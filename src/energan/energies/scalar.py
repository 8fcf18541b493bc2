"""U(x) = f(x): a network's one output as the energy, of either sign (Du & Mordatch 2019)."""

from contextlib import nullcontext

from torch import Tensor, nn

from energan.core import Energy, Scored, Stream, exact, full_precision, through


class Scalar(Energy):
    """The output (B, 1) of `network`: x (B, *event), and labels where it takes them.

    full_precision: without half precision throughout, for energies that are compared place by
    place, as a Metropolis test does.
    """

    def __init__(self, network: nn.Module, *, full_precision: bool = False) -> None:
        super().__init__()
        self.network, self.full_precision = network, full_precision

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        with full_precision(x) if self.full_precision else nullcontext():
            return Scored(exact(through(self.network, x, condition, stream)).squeeze(-1))
