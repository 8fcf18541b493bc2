"""U(x) = −log Σ_y exp f_y(x): a classifier's logits f as an energy (Grathwohl et al. 2020, eq. 7).

exp(f_y(x)) is the unnormalised density of x and y together, so that their sum over y is that of x,
and softmax(f) the probability of y given x: of the same numbers.
"""

from torch import Tensor, nn

from energan.core import Energy, Scored, Stream, exact, through


class LogSumExp(Energy):
    """Energy of a classifier, U(x) = −logsumexp of its logits (Grathwohl et al. 2020).

    The logits are returned too.

    Args:
        network: from x (B, *event) to logits (B, K).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        logits = exact(through(self.network, x, None, stream))
        return Scored(-logits.logsumexp(-1), logits=logits)
