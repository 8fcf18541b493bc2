"""Published scores, to stand beside ours: name, value, ±, unit."""

from typing import Any

PARZEN_MNIST: list[dict[str, Any]] = [
    {"model": "DBN", "value": 138, "plus_minus": 2},
    {"model": "Stacked CAE", "value": 121, "plus_minus": 1.6},
    {"model": "Deep GSN", "value": 214, "plus_minus": 1.1},
    {"model": "Adversarial nets (Goodfellow et al. 2014)", "value": 225, "plus_minus": 2},
    {"model": "Conditional adversarial nets (Mirza & Osindero 2014)", "value": 132,
     "plus_minus": 1.8},
]  # fmt: skip
"""Test log-likelihood in nats by the Gaussian Parzen window of 10,000 samples."""

PARZEN_TFD: list[dict[str, Any]] = [
    {"model": "Adversarial nets (Goodfellow et al. 2014)", "value": 2057, "plus_minus": 26}
]
"""± is across folds there, sigma chosen for each fold."""

PARZEN = {"mnist": PARZEN_MNIST, "tfd": PARZEN_TFD}
