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
    """The distance of images (B, C, H, W) to the nearest training image, standardised: (B,).

    Images are compared as thumbnails of `side` × `side` cells, of mean 0 and norm 1 over all of
    their numbers, so that brightness and contrast count for nothing: it knows the part as a whole,
    and no detail of it. The memory has what was observed, at most `capacity` thumbnails, a coreset
    of them where there are more. The distances of thumbnails in the memory to the nearest other one
    give the mean and the standard deviation that distances are told in.
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
