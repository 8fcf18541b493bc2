"""Energies of tags: logistic regressions, and what is made of tags that have none."""

import numpy as np
import torch

from energan.core import Domain
from energan.data import TagSet
from energan.evaluation.tag_energies import fit_tag_energies


def newton(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """w and b of ½‖w‖² + Σ log-loss at their minimum: scikit-learn's C = 1."""
    rows = np.column_stack([x, np.ones(len(x))])
    penalty, found = np.diag([1.0] * x.shape[1] + [0.0]), np.zeros(x.shape[1] + 1)
    for _ in range(50):
        p = 1 / (1 + np.exp(-rows @ found))
        slope = rows.T @ (p - y) + penalty @ found
        found = found - np.linalg.solve(rows.T * (p * (1 - p)) @ rows + penalty, slope)
    return found


def test_a_tag_that_all_images_have_or_none_gets_its_odds_and_the_others_a_regression() -> None:
    generator = np.random.default_rng(0)
    features, tags = generator.normal(size=(40, 3)), generator.random((40, 4)) < 0.4
    tags[:, 1], tags[:, 2] = False, True
    data = TagSet(
        "own", torch.zeros(4, 2), Domain((2,)), features=torch.from_numpy(features), tags=tags
    )
    fitted = fit_tag_energies(data)
    for k in (0, 3):
        wanted = newton(features, tags[:, k].astype(float))
        found = [*fitted.weights[k], fitted.biases[k]]
        np.testing.assert_allclose(found, wanted, atol=1e-3)
    p = fitted.probabilities(data.features)
    np.testing.assert_allclose(p[:, 1], 0.5 / 41)
    np.testing.assert_allclose(p[:, 2], 40.5 / 41)
