"""Tags ranked by an energy of their own, and not by votes of samples.

    U(t | f) = −(w_t · f + b_t),   p(t | f) = sigmoid(−U(t | f)),   f an image's features

w and b are those of a logistic regression of each tag: of all tags those with the lowest energies
are an image's. It is fitted to the training part in seconds, where the GAN of tags trains for
minutes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from energan.data import TagSet
from energan.metrics.tagging import Votes

ITERATIONS = 300


@dataclass(frozen=True)
class TagEnergies:
    """weights: w (T, F); biases: b (T,)."""

    weights: NDArray[np.float64]
    biases: NDArray[np.float64]

    def energies(self, features: Tensor) -> NDArray[np.float64]:
        """U of every tag for images with these features (I, F), standardised: (I, T)."""
        found: NDArray[np.float64] = -(features.double().numpy() @ self.weights.T + self.biases)
        return found

    def probabilities(self, features: Tensor) -> Votes:
        """p of every tag, (I, T)."""
        made: Votes = 1 / (1 + np.exp(np.clip(self.energies(features), -500, 500)))
        return made


def fit_tag_energies(data: TagSet) -> TagEnergies:
    """Of the training part.

    A tag that all of its images have, or none, has no regression: w is 0 and b the logarithm of
    its odds, with half an image more on either side.
    """
    x = data.features.double().numpy()
    fitted = [_fit(x, column) for column in data.tags.T]
    return TagEnergies(
        np.stack([weights for weights, _ in fitted]), np.array([bias for _, bias in fitted])
    )


def _fit(x: NDArray[np.float64], tagged: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """w (F,) and b of a tag of images with features x (I, F)."""
    from sklearn.linear_model import LogisticRegression

    count = int(tagged.sum())
    if count in (0, len(tagged)):
        return np.zeros(x.shape[1]), float(np.log((count + 0.5) / (len(tagged) - count + 0.5)))
    found = LogisticRegression(max_iter=ITERATIONS).fit(x, tagged)
    return found.coef_[0], float(found.intercept_[0])
