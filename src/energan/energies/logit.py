"""U(x) = −logit(x): the discriminator D(x) = sigmoid(−U(x)) of Goodfellow et al. 2014."""

from torch import Tensor, nn

from energan.core import Energy, Scored, Stream, exact


class Logit(Energy):
    """The negated output of a network (B, *event) -> (B, 1); unbounded below."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        return Scored(energy=-exact(self.network(x, stream)).squeeze(-1))
