"""U(x) = f(x): a network's one output as the energy, of either sign (Du & Mordatch 2019)."""

from contextlib import nullcontext

from torch import Tensor, nn

from energan.core import Energy, Scored, Stream, exact, full_precision, through


class Scalar(Energy):
    """Energy of a network with one output, U(x) = f(x), unbounded.

    Args:
        network: from x (B, *event), and labels if it takes them, to (B, 1).
        full_precision: whether to turn half precision off, for energies whose small differences
            matter, as they do in a Metropolis test.
    """

    def __init__(self, network: nn.Module, *, full_precision: bool = False) -> None:
        super().__init__()
        self.network, self.full_precision = network, full_precision

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        with full_precision(x) if self.full_precision else nullcontext():
            return Scored(exact(through(self.network, x, condition, stream)).squeeze(-1))
