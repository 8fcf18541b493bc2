"""A classifier that learns from few labels and many examples without."""

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from energan.core import Domain, SettingError
from energan.experiment import settings
from energan.experiment.settings import Job
from energan.sklearn.network_estimator import NetworkEstimator

STEPS, MOST_LABELLED, LARGEST = 1000, 100, 32
"""MOST_LABELLED: labelled examples in a batch, where there are no more classes. LARGEST: side of
images that "auto" is meant for."""
UNLABELLED = -1


class FewLabelClassifier(ClassifierMixin, NetworkEstimator):  # type: ignore[misc]
    """Semi-supervised classification by a ladder network (Rasmus et al. 2015).

    It learns the classes from the labelled examples, and the structure of the data from all.

    Parameters
    ----------
    recipe : str, default="auto"
        Small networks for the data, or the name of a recipe or of a model that classifies, as
        "ebgan_ln". The data settings of a recipe are not used. "auto" flattens images:
        for photographs take "few-labels-photos" and `image_shape`.
    settings : dict, default=None
        Settings by group, as for `energan.train`: `{"model": {"hidden": (100, 50)}}`.
    steps : int, default=None
        Training steps; schedules are scaled in proportion. 1,000 for "auto", else the recipe's.
    batch_size : int, default=100
        Unlabelled examples in a batch.
    image_shape : tuple (channels, height, width), default=None
        Shape of the images that rows hold, flattened. Pixels are then scaled together; other
        features are scaled one by one, which would exaggerate pixels that rarely change.
    device : str, default="auto"
        "cpu", "cuda", or "auto" for a GPU if there is one.
    random_state : int, RandomState or None, default=None
        Seed of the training.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
        The labels, without -1.
    energy_ : energan.core.Energy
        The trained network; it takes scaled examples.
    n_iter_ : int
        Training steps done.
    n_features_in_ : int
        Features seen in `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from energan.sklearn import FewLabelClassifier
    >>> X = np.concatenate([np.random.RandomState(0).normal(at, 1, (100, 2)) for at in (-3, 3)])
    >>> y = np.full(200, -1)
    >>> y[:3], y[100:103] = 0, 1
    >>> FewLabelClassifier(steps=200, random_state=0).fit(X, y).predict([[-3.0, -3.0], [3.0, 3.0]])
    array([0, 1])
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on X, (n, features), with labels y, (n,); -1 means that a row has no label."""
        values, known = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(known)
        labelled = np.ones(len(known), bool)
        if known.dtype.kind in "iuf":
            labelled = known != UNLABELLED
        self.classes_, numbers = np.unique(known[labelled], return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"the labels are of {len(self.classes_)} class(es): a classifier needs at least 2"
            )
        labels = np.full(len(known), UNLABELLED, np.int64)
        labels[labelled] = numbers
        self._train(values, labels)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class for each row of X, (n, n_classes)."""
        logits = self._outputs(X, "logits")
        shares = np.exp(logits - logits.max(1, keepdims=True))
        made: NDArray[np.float64] = shares / shares.sum(1, keepdims=True)
        return made

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class of each row of X, (n,)."""
        probabilities = self.predict_proba(X)  # first, as it checks that this is fitted
        found: NDArray[Any] = self.classes_[probabilities.argmax(1)]
        return found

    def _job(self, domain: Domain, count: int) -> Job:
        job = super()._job(domain, count)
        if not job.settings.model.classifies:
            raise SettingError(
                f"recipe {self.recipe}: the model {job.model} does not classify: use ladder or "
                "ebgan_ln"
            )
        return job

    def _default_job(self, domain: Domain) -> Job:
        """A ladder network, with the rates of the recipe few-labels. On 5 labels a class of
        scikit-learn's digits the weight 1 of U(x) was best of 0.1 to 16, and twice the paper's
        noise was better on each of five splits."""
        if self.image_shape is not None and (
            self.image_shape[0] == 3 or max(self.image_shape[1:]) > LARGEST
        ):
            warnings.warn(
                "recipe 'auto' flattens images, which suits digits and symbols: for photographs "
                "use recipe='few-labels-photos'",
                stacklevel=3,
            )
        rate = f"linear(0.002, 0, {STEPS // 3}, {2 * STEPS // 3})"
        model = {
            "hidden": [256, 128, 64],
            "noise": 0.6,
            "reconstruction": float(domain.size),
            "top_scale": True,
            "labelled": max(MOST_LABELLED, domain.classes or 0),
            "energy_optimiser": {"lr": rate},
        }
        training = {"steps": STEPS, "ema": 0.0}
        return settings.load(None, "ladder").changed({"model": model, "training": training})
