"""Tags of images: Mirza & Osindero 2014, section 4.2, at a size for faces with 40 attributes."""

from typing import Any

from energan.recipes.recipe import Recipe

FEATURES = "FEATURES.npz"
"""What stands for the user's own features and tags."""
ADAM: dict[str, Any] = {"kind": "adam", "lr": 0.0002, "beta1": 0.5}

RECIPES = [
    Recipe(
        "tagging-celeba",
        "tags of faces, from features made by energan features, or your own (--data F.npz)",
        "tagging",
        {
            "data": {"source": FEATURES},
            "model": {
                "generator": [256, 512],
                "generator_joint": [512],
                "discriminator": [256, 512],
                "joint": 256,
                "energy_optimiser": ADAM,
                "sampler_optimiser": ADAM,
            },
            "training": {"steps": 10_000, "batch_size": 128},
        },
    ),
]
