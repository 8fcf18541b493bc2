"""U(x) = the maximum of a map of each cell's log-odds of a defect, plus how unlike training images
the whole image is."""

from torch import Tensor, nn

from energan.core import Energy, Scored, Stream, exact
from energan.energies.nearest_image import NearestImage
from energan.energies.smoothing import smooth


class AnomalyMap(Energy):
    """Energy of images by a map of anomaly logits, U(x) = max s(x) + weight · d(x).

    s(x) are the logits after a Gaussian filter, so that no single cell decides; they are
    returned as the map. d(x) is the standardised distance to the nearest training image, which
    has no place in the map.

    Args:
        network: from images (B, C, H, W) of any size to logits (B, h, w).
        smoothing: standard deviation of the Gaussian, in cells; 0 for none.
        nearest: the memory of training images; None to leave d out.
        weight: weight of d.
    """

    fully_convolutional = True

    def __init__(
        self,
        network: nn.Module,
        smoothing: float = 1.0,
        nearest: NearestImage | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.network, self.smoothing, self.weight = network, smoothing, weight
        self.nearest = nearest

    def logits(self, x: Tensor, stream: Stream) -> Tensor:
        """(B, h, w), as they are trained: before smoothing."""
        return exact(self.network(x, stream))

    def score(self, logits: Tensor) -> Scored:
        """s and its maximum, of images with these logits."""
        cells = smooth(logits, self.smoothing) if self.smoothing else logits
        return Scored(cells.flatten(1).amax(1), map=cells)

    def describe(self, x: Tensor) -> Tensor:
        """What `observe` takes in of images: their thumbnails, or nothing (B, 0)."""
        return x.new_zeros(len(x), 0) if self.nearest is None else self.nearest.thumbnails(x)

    def observe(self, described: Tensor) -> Tensor:
        """Remember training images, by `describe`; how unlike the known ones they are, ()."""
        return described.new_zeros(()) if self.nearest is None else self.nearest.observe(described)

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        scored = self.score(self.logits(x, stream))
        if self.nearest is None:
            return scored
        return Scored(scored.energy + self.weight * self.nearest(x, stream), map=scored.map)
