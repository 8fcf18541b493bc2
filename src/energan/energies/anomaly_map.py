"""U(x) = the maximum of a map: each cell's log-odds of belonging to a defect."""

from torch import Tensor, nn

from energan.core import Energy, Scored, Stream, exact
from energan.energies.smoothing import smooth


class AnomalyMap(Energy):
    """The energy of an image (B, C, H, W) by a network of its cells.

    network: x -> logits (B, h, w), of any sides. The map is the logits after a Gaussian of
    `smoothing` cells (0 for none), so that no single cell decides; the energy is its maximum, or
    with `top` the mean over that share of its cells, the highest.
    """

    fully_convolutional = True

    def __init__(self, network: nn.Module, smoothing: float = 1.0, top: float = 0.0) -> None:
        super().__init__()
        self.network, self.smoothing, self.top = network, smoothing, top

    def logits(self, x: Tensor, stream: Stream) -> Tensor:
        """(B, h, w), as they are trained: before smoothing."""
        return exact(self.network(x, stream))

    def score(self, logits: Tensor) -> Scored:
        """What the energy says of images with these logits."""
        cells = smooth(logits, self.smoothing) if self.smoothing else logits
        flat = cells.flatten(1)
        if self.top:
            count = max(round(self.top * flat.shape[1]), 1)
            return Scored(flat.topk(count, 1).values.mean(1), map=cells)
        return Scored(flat.amax(1), map=cells)

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        return self.score(self.logits(x, stream))
