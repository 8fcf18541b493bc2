"""U(x) = −logit(x), or −logit(x | y): D = sigmoid(−U) of Goodfellow et al. 2014."""

from torch import Tensor, nn

from energan.core import Energy, Scored, Stream, exact, through


class Logit(Energy):
    """Energy of a discriminator: its negated logit, unbounded.

    Args:
        network: from x (B, *event), and labels if it takes them, to (B, 1).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        return Scored(energy=-exact(through(self.network, x, condition, stream)).squeeze(-1))
