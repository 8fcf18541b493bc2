"""SimpleNet's discriminator of patch features (Liu et al. 2023, sections 3.2 to 3.4)."""

from torch import Tensor, nn

from energan.core import Stream, Streamed
from energan.nets.dense import BatchNorm, GaussianNoise, Sequential


class FakeNoise(GaussianNoise):
    """Gaussian noise in stream "fake" alone."""

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        return super().forward(x, stream) if stream == "fake" else x


class FeatureContrast(Streamed):
    """Features (B, D, h, w) -> energies of the cells (B, h, w), of either sign.

    Features are standardised by channel; in stream "fake" N(0, noise²) is added to each; two hidden
    layers of 1×1 convolutions lead to one number. SimpleNet's adaptor stands before the noise; here
    it is the first of the layers behind it, so that the noise keeps its size.
    """

    def __init__(self, size: int, hidden: int, noise: float) -> None:
        super().__init__()
        self.layers = Sequential(
            BatchNorm(size, scale=False, shift=False),
            FakeNoise(noise),
            nn.Conv2d(size, hidden, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(hidden, hidden, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(hidden, 1, 1),
        )

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        found: Tensor = self.layers(x, stream)
        return found.squeeze(1)
