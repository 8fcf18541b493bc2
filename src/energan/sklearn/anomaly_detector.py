"""Anomalies by the energy of a model that was trained on normal data."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin
from sklearn.utils.validation import validate_data

from energan.core import Domain
from energan.experiment import settings
from energan.experiment.settings import Job
from energan.sklearn.network_estimator import NetworkEstimator

STEPS = 500


class AnomalyDetector(OutlierMixin, NetworkEstimator):  # type: ignore[misc]
    """Anomaly detector based on an energy, which is low for examples like the training data.

    By default the energy is the reconstruction error of a small fully connected auto-encoder, the
    discriminator of an EBGAN.

    Parameters
    ----------
    recipe : str, default="auto"
        Small networks for the data, or the name of a recipe or of a model, as "gan" or
        "ebgan_conv". The data settings of a recipe are not used.
    settings : dict, default=None
        Settings by group, as for `energan.train`: `{"model": {"encoder": (32, 8)}}`.
    steps : int, default=None
        Training steps; schedules are scaled in proportion. 500 for "auto", else the recipe's.
    batch_size : int, default=100
        Examples in a batch.
    contamination : float, default=0.05
        Fraction of the training data that is called anomalous, in (0, 0.5].
    image_shape : tuple (channels, height, width), default=None
        Shape of the images that rows hold, flattened. Pixels are then scaled together; other
        features are scaled one by one, which would exaggerate pixels that rarely change.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU if there is one.
    random_state : int, RandomState or None, default=None
        Seed of the training.

    Attributes
    ----------
    offset_ : float
        Threshold: `decision_function` is `score_samples` minus this.
    energy_ : energan.core.Energy
        The trained energy; it takes scaled examples.
    n_iter_ : int
        Training steps done.
    n_features_in_ : int
        Features seen in `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from energan.sklearn import AnomalyDetector
    >>> normal = np.random.RandomState(0).normal(size=(200, 2))
    >>> AnomalyDetector(steps=100, random_state=0).fit(normal).predict([[9.0, -9.0]])
    array([-1])
    """

    def __init__(
        self,
        recipe: str = "auto",
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        steps: int | None = None,
        batch_size: int = 100,
        contamination: float = 0.05,
        image_shape: tuple[int, int, int] | None = None,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            recipe, settings=settings, steps=steps, batch_size=batch_size,
            image_shape=image_shape, device=device, random_state=random_state,
        )  # fmt: skip
        self.contamination = contamination

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train on X, (n, features), and set the threshold; y is ignored."""
        values = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        if not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination {self.contamination}: give a fraction in (0, 0.5]")
        self._train(values, None)
        scores = -self._outputs(X, "energy")
        self.offset_ = float(np.percentile(scores, 100 * self.contamination))
        return self

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return minus the energy of each row of X, (n,): high for normal rows."""
        return -self._outputs(X, "energy")

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return `score_samples` minus the threshold, (n,): negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return +1 for normal rows of X and -1 for anomalies, (n,)."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def _default_job(self, domain: Domain) -> Job:
        """An EBGAN: the margin is 0.31 of the root of an example's numbers, as the paper's 10 is
        for its 32×32 digits."""
        code = max(2, min(32, domain.size // 2))
        model = {
            "margin": 0.31 * domain.size**0.5,
            "pull_away": 0.1,
            "generator": [64, 64],
            "encoder": [64, code],
            "decoder": [64],
            "latent": code,
            "output": "linear",
            "discriminator_scale": None,
            "generator_scale": None,
        }
        return settings.load(None, "ebgan").changed({"model": model, "training": {"steps": STEPS}})
