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


_LADDER = "LN, bottom-layer cost"
FEW_LABELS_MNIST: dict[int, list[dict[str, Any]]] = {
    100: [
        {"model": f"{_LADDER} (Pezeshki et al. 2016)", "value": 1.69, "plus_minus": 0.18},
        {"model": f"{_LADDER} (Rasmus et al. 2015)", "value": 1.09, "plus_minus": 0.32},
        {"model": f"{_LADDER} (Zhao et al. 2017)", "value": 1.36, "plus_minus": 0.21},
        {"model": "EBGAN-LN (Zhao et al. 2017)", "value": 1.04, "plus_minus": 0.12},
    ],
    200: [
        {"model": f"{_LADDER} (Zhao et al. 2017)", "value": 1.24, "plus_minus": 0.09},
        {"model": "EBGAN-LN (Zhao et al. 2017)", "value": 0.99, "plus_minus": 0.12},
    ],
    1000: [
        {"model": f"{_LADDER} (Pezeshki et al. 2016)", "value": 1.05, "plus_minus": 0.02},
        {"model": f"{_LADDER} (Rasmus et al. 2015)", "value": 0.90, "plus_minus": 0.05},
        {"model": f"{_LADDER} (Zhao et al. 2017)", "value": 1.04, "plus_minus": 0.06},
        {"model": "EBGAN-LN (Zhao et al. 2017)", "value": 0.89, "plus_minus": 0.04},
    ],
}
"""Test error in % of MNIST with so many labels, permutation-invariant (Zhao et al. 2017, table 2);
± is the standard deviation, of theirs over 15 seeds."""
