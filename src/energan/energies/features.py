"""U(x) = max over cells of a smoothed map of distances of patch features from normal ones."""

from typing import Protocol

from torch import Tensor, nn

from energan.core import Energy, Scored, Stream, exact
from energan.energies.smoothing import smooth


class PatchDistance(Protocol):
    """Features (B, D, h, w) -> how unlike normal ones each is, (B, h, w)."""

    def __call__(self, features: Tensor, stream: Stream) -> Tensor: ...


class FeatureEnergy(Energy):
    """The energy of images by the features of a frozen network.

    features: images (B, C, H, W) -> features (B, D, h, w). distance: a PatchDistance. smoothing:
    standard deviation of the Gaussian that smooths the map, in cells; 0 for none.

    In stream "eval" energy (B,) is the maximum of map (B, h, w); elsewhere energy (B, h, w) is that
    of each cell, since an objective's terms are of cells.
    """

    def __init__(
        self, features: nn.Module, distance: nn.Module, smoothing: float, *, any_size: bool
    ) -> None:
        super().__init__()
        self.features, self.distance, self.smoothing = features, distance, smoothing
        self.fully_convolutional = any_size

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        found = exact(self.distance(self.features(x), stream))
        if stream != "eval":
            return Scored(found)
        if self.smoothing:
            found = smooth(found, self.smoothing)
        return Scored(found.flatten(1).amax(1), map=found)


class FittedFeatures(FeatureEnergy):
    """The same of a distance that is fitted by taking in each example's features, not by descent.

    Its distance has `observe`: features (B, D, h, w) -> how unlike those before they are, a number.
    """

    def describe(self, x: Tensor) -> Tensor:
        """What `observe` takes in of examples x (B, C, H, W): features (B, D, h, w)."""
        described: Tensor = self.features(x)
        return described

    def observe(self, features: Tensor) -> Tensor:
        """Take in features of examples that were not yet seen; how unlike those before they are."""
        told: Tensor = self.distance.observe(features)  # type: ignore[operator]
        return told
