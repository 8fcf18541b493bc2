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
    """Of the training part, each of whose tags some images have and others have not."""
    from sklearn.linear_model import LogisticRegression

    x = data.features.double().numpy()
    fitted = [LogisticRegression(max_iter=ITERATIONS).fit(x, column) for column in data.tags.T]
    return TagEnergies(
        np.concatenate([one.coef_ for one in fitted]),
        np.concatenate([one.intercept_ for one in fitted]),
    )
