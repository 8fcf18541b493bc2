"""Anomaly detection on the features of a frozen network: PatchCore, PaDiM, SimpleNet."""

from typing import Any

from energan.recipes.recipe import Recipe

FITTED: dict[str, Any] = {"epochs": 1, "batch_size": 8, "ema": 0, "guard": False}
IMAGES: dict[str, Any] = {"source": "PARTS", "size": 256, "fit": "stretch"}

RECIPES = [
    Recipe(
        "inspect-features",
        "is this part normal? by the nearest features of a network of yours (--model.features)",
        "inspect_features",
        {"data": IMAGES, "training": FITTED},
    ),
    Recipe(
        "inspect-features-gaussian",
        "the same by a Gaussian of the features at each position",
        "inspect_features",
        {"model": {"energy": "gaussian"}, "data": IMAGES, "training": FITTED},
    ),
    Recipe(
        "inspect-features-contrast",
        "the same by a small network, trained against features with noise",
        "inspect_features",
        {
            "model": {"energy": "contrast"},
            "data": IMAGES,
            "training": {"epochs": 40, "batch_size": 8},
        },
    ),
]
