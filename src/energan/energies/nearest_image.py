"""How far a whole image is from the nearest training image, both as thumbnails."""

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import Calibrated, Stream, exact
from energan.energies.feature_memory import NearestDistance

FLOOR = 0.1
"""Least standard deviation, as a fraction of the mean distance, because that of a few images may be
0."""
LEAST = 1e-6
"""Smallest deviation or spread to divide by."""


class NearestImage(Calibrated):
    """Standardised distance of images to the nearest training image.

    Images (B, C, H, W) are compared as thumbnails of `side` × `side` cells with mean 0 and norm
    1, so that brightness and contrast do not count. Up to `capacity` thumbnails are stored, a
    coreset if there are more images. Distances are standardised by the mean and standard
    deviation of the distances of stored thumbnails to their nearest neighbours.

    Args:
        channels: channels of the images.
        side: side of a thumbnail, in cells.
        capacity: largest number of thumbnails stored.
    """

    reads_data = False
    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int, side: int = 8, capacity: int = 2048) -> None:
        super().__init__()
        self.side = side
        self.memory = NearestDistance(channels * side * side, capacity, neighbours=1)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def begin(self) -> None:
        """Nothing is forgotten: what was taken in stays."""

    @torch.no_grad()
    def end(self) -> None:
        rows = self.memory.memory[: int(self.memory.count)]
        if len(rows) > 1:
            far = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
            nearest = far.amin(1)
            self.mean.copy_(nearest.mean())
            least = (FLOOR * nearest.mean()).clamp_min(LEAST)
            self.deviation.copy_(nearest.std(correction=0).maximum(least))

    def observe(self, thumbnails: Tensor) -> Tensor:
        """Keep those of training images; how far they are from the known ones, on average: ()."""
        told: Tensor = self.memory.observe(thumbnails.detach())
        return told

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        distance: Tensor = self.memory(self.thumbnails(x), stream)
        return (distance.flatten() - self.mean) / self.deviation

    def thumbnails(self, x: Tensor) -> Tensor:
        """(B, C·side², 1, 1), each of norm 1."""
        small = F.adaptive_avg_pool2d(exact(x), self.side).flatten(1)
        small = small - small.mean(1, keepdim=True)
        norm: Tensor = torch.linalg.vector_norm(small, dim=1, keepdim=True)
        return (small / norm.clamp_min(LEAST))[:, :, None, None]
