"""Is this part normal? Energies of parts, trained or fitted on good ones alone.

DRAEM and CutPaste train on synthetic defects; PatchCore, PaDiM and SimpleNet are on the features of
a frozen network.
"""

from typing import Any

from energan.recipes.recipe import Recipe

# Both sides are scaled, since a crop would cut off what may be defective.
IMAGES: dict[str, Any] = {"source": "PHOTOS", "size": 256, "fit": "stretch"}
FITTED: dict[str, Any] = {"epochs": 1, "batch_size": 8, "ema": 0, "guard": False}

RECIPES = [
    Recipe(
        "inspect-folder",
        "anomaly detection with heat maps, trained on your own photographs of good parts "
        "(--data PHOTOS)",
        "inspect",
        {"data": IMAGES, "training": {"steps": 2_700, "batch_size": 8, "ema": 0.99}},
        measured="270 parts of 224×224, all steps: 39 min, three at once on two busy bf16 cores",
        task="Is this part normal, and where not",
    ),
    Recipe(
        "inspect-features",
        "anomaly detection with a pretrained network of yours (--model.features): nearest "
        "features, as in PatchCore",
        "inspect_features",
        {"data": IMAGES, "training": FITTED},
        task="Is this part normal, and where not",
    ),
    Recipe(
        "inspect-features-gaussian",
        "anomaly detection with a pretrained network: a Gaussian per position, as in PaDiM",
        "inspect_features",
        {"model": {"energy": "gaussian"}, "data": IMAGES, "training": FITTED},
        task="Is this part normal, and where not",
    ),
    Recipe(
        "inspect-features-contrast",
        "anomaly detection with a pretrained network: a small network trained against noisy "
        "features",
        "inspect_features",
        {
            "model": {"energy": "contrast"},
            "data": IMAGES,
            "training": {"epochs": 40, "batch_size": 8},
        },
        task="Is this part normal, and where not",
    ),
]
