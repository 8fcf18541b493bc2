"""U(x) = max over cells of a smoothed map of distances of patch features from normal ones."""

from typing import Protocol

from torch import Tensor, nn

from energan.core import Energy, Scored, Stream, exact
from energan.energies.smoothing import smooth


class PatchDistance(Protocol):
    """From features (B, D, h, w) to how unlike normal ones each is, (B, h, w), ≥ 0."""

    def __call__(self, features: Tensor, stream: Stream) -> Tensor: ...


class FeatureEnergy(Energy):
    """Energy of images by the features of a frozen network.

    In stream "eval" the energy (B,) is the maximum of the map (B, h, w); in training it is (B,
    h, w), one value per cell.

    Args:
        features: from images (B, C, H, W) to features (B, D, h, w).
        distance: from features to a map of distances; see `PatchDistance`.
        smoothing: standard deviation of a Gaussian filter of the map, in cells; 0 for none.
        any_size: whether `features` takes images of any size.
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
    """FeatureEnergy with a distance that is fitted by counting, not by gradient descent.

    Its distance has a method `observe`, which takes features (B, D, h, w) in, and returns how
    unlike the earlier ones they are.
    """

    def describe(self, x: Tensor) -> Tensor:
        """What `observe` takes in of examples x (B, C, H, W): features (B, D, h, w)."""
        described: Tensor = self.features(x)
        return described

    def observe(self, features: Tensor) -> Tensor:
        """Take in features of examples that were not yet seen; how unlike those before they are."""
        told: Tensor = self.distance.observe(features)  # type: ignore[operator]
        return told
