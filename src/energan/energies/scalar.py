"""U(x) = f(x): a network's one output as the energy, of either sign (Du & Mordatch 2019)."""

from torch import Tensor, nn

from energan.core import Energy, Scored, Stream, exact, through


class Scalar(Energy):
    """The output (B, 1) of `network`: x (B, *event), and labels where it takes them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        return Scored(exact(through(self.network, x, condition, stream)).squeeze(-1))
