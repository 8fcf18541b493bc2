"""The estimators by scikit-learn's own checks, in pipelines, and beside what they should find."""

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from energan.core import SettingError
from energan.sklearn import AnomalyDetector, FewLabelClassifier

DETECTOR = AnomalyDetector(steps=20, random_state=0)
CLASSIFIER = FewLabelClassifier(steps=60, batch_size=50, random_state=0)

EXPECTED_FAILURES: dict[str, dict[str, str]] = {
    "AnomalyDetector": {},
    "FewLabelClassifier": {
        "check_classifiers_classes": "it has classes -1 and 1, and -1 is an example without a label"
    },
}
"""Checks of scikit-learn that do not apply, by estimator, each with the reason."""


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    return EXPECTED_FAILURES[type(estimator).__name__]


@parametrize_with_checks([DETECTOR, CLASSIFIER], expected_failed_checks=expected_failures)
def test_scikit_learns_checks(estimator: BaseEstimator, check: Any) -> None:
    check(estimator)


def blobs(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_blobs(count, centers=[(-4, 0), (4, 0), (0, 5)], random_state=0)
    return X * [1.0, 100.0], y  # units must not matter


def test_anomalies_are_found_and_the_threshold_is_a_quantile() -> None:
    X, _ = blobs()
    detector = AnomalyDetector(steps=150, contamination=0.1, random_state=0).fit(X)
    far = np.array([[40.0, 0.0], [0.0, -4000.0], [-30.0, 3000.0]])
    assert (detector.predict(far) == -1).all()
    scores = detector.score_samples(X)
    assert detector.offset_ == np.percentile(scores, 10)
    assert np.allclose(detector.decision_function(X), scores - detector.offset_)
    assert np.mean(detector.predict(X) == -1) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("estimator", [DETECTOR, CLASSIFIER], ids=lambda e: type(e).__name__)
def test_same_seed_same_result_and_a_pickle_is_the_same(estimator: Any) -> None:
    X, y = blobs(80)
    one, two = (clone(estimator).fit(X, y) for _ in range(2))
    method = "score_samples" if isinstance(estimator, AnomalyDetector) else "predict_proba"
    first = getattr(one, method)(X)
    assert np.array_equal(first, getattr(two, method)(X))
    assert np.array_equal(first, getattr(pickle.loads(pickle.dumps(one)), method)(X))
    other = clone(estimator).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(first, getattr(other, method)(X))


def test_few_labels_and_many_without() -> None:
    X, y = blobs()
    known = np.full(len(y), -1)
    for label in range(3):
        known[np.flatnonzero(y == label)[:3]] = label
    classifier = FewLabelClassifier(steps=150, random_state=0).fit(X, known)
    assert classifier.classes_.tolist() == [0, 1, 2]
    assert classifier.score(X, y) > 0.95
    probabilities = classifier.predict_proba(X)
    assert np.allclose(probabilities.sum(1), 1)
    assert np.array_equal(classifier.classes_[probabilities.argmax(1)], classifier.predict(X))
    with pytest.raises(ValueError, match="at least 2"):
        classifier.fit(X, np.where(known == 0, 0, -1))


def test_they_stand_in_pipelines_and_cross_validation() -> None:
    X, y = blobs(150)
    names = np.array(["a", "b", "c"])[y]
    scores = cross_val_score(make_pipeline(StandardScaler(), CLASSIFIER), X, names, cv=3)
    assert scores.mean() > 0.9
    pipeline = make_pipeline(StandardScaler(), DETECTOR).fit(X)
    assert set(pipeline.predict(X)) <= {-1, 1}


def test_another_model_a_recipe_and_settings() -> None:
    X, y = blobs(60)
    small: dict[str, Any] = {
        "model": {"generator": [8], "discriminator": [8], "output": "linear", "latent": 2}
    }
    detector = AnomalyDetector("gan", settings=small, steps=3, random_state=0).fit(X)
    assert detector.n_iter_ == 3
    ring = AnomalyDetector("ebgan-ring", steps=3, random_state=0).fit(X)
    assert np.isfinite(ring.score_samples(X)).all()
    hidden: dict[str, Any] = {"model": {"hidden": [8], "labelled": 6}}
    few = FewLabelClassifier("few-labels", settings=hidden, steps=3, random_state=0).fit(X, y)
    assert few.predict_proba(X).shape == (60, 3)
    with pytest.raises(SettingError, match="does not classify"):
        FewLabelClassifier("ebgan", steps=1).fit(X, y)
    with pytest.raises(SettingError, match="no model"):
        AnomalyDetector("nonsense").fit(X)
    with pytest.raises(ValueError, match="contamination"):
        AnomalyDetector(contamination=0.7).fit(X)


def test_images_are_scaled_together_and_reach_convolutions() -> None:
    X, _ = load_digits(return_X_y=True)
    small: dict[str, Any] = {"model": {"generator_width": 4, "encoder_width": 4, "margin": 2}}
    shape = (1, 8, 8)
    detector = AnomalyDetector(
        "ebgan_conv", settings=small, steps=2, image_shape=shape, batch_size=20, random_state=0
    )
    assert detector.fit(X[:100]).score_samples(X[:5]).shape == (5,)
    assert set(detector.scale_) == {8.0}
    with pytest.raises(ValueError, match=r"image_shape \(1, 8, 8\) does not match 63 features"):
        AnomalyDetector(steps=1, image_shape=shape).fit(X[:20, :63])


@pytest.mark.slow
def test_an_unknown_digit_is_more_anomalous_than_known_ones() -> None:
    X, y = load_digits(return_X_y=True)
    known = X[y != 0]
    detector = AnomalyDetector(image_shape=(1, 8, 8), random_state=0).fit(known[:-300])
    test = np.concatenate([known[-300:], X[y == 0]])
    anomalous = np.arange(len(test)) >= 300
    assert roc_auc_score(anomalous, -detector.score_samples(test)) > 0.85


def test_photographs_are_for_another_recipe() -> None:
    draws = np.random.RandomState(0)
    X, y = draws.rand(24, 3 * 8 * 8), np.arange(24) % 2
    X[y == 1, :64] += 1  # red ones
    shape = (3, 8, 8)
    with pytest.warns(UserWarning, match="for photographs use recipe='few-labels-photos'"):
        FewLabelClassifier(steps=2, image_shape=shape, random_state=0).fit(X, y)
    photos = FewLabelClassifier(
        "few-labels-photos", steps=60, image_shape=shape, batch_size=24, random_state=0,
        settings={"model": {"width": 8, "labelled": 12}},
    )  # fmt: skip
    assert photos.fit(X, y).score(X, y) > 0.9
