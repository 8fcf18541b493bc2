"""Tags of images: Mirza & Osindero 2014, section 4.2, at a size for faces with 40 attributes."""

from typing import Any

from energan.recipes.recipe import Recipe

FEATURES = "FEATURES.npz"
"""Placeholder for the user's own features and tags."""
ADAM: dict[str, Any] = {"kind": "adam", "lr": "linear(0.001, 0.0001, 5000, 5000)", "beta1": 0.5}

RECIPES = [
    Recipe(
        "tagging-celeba",
        "tags of faces, learned from their features (`energan features`); also for your own images",
        "tagging",
        {
            "data": {"source": FEATURES},
            "model": {
                "generator": [128, 256],
                "generator_joint": [256],
                "generator_dropout": 0.0,
                "discriminator": [256, 256],
                "joint": 128,
                "discriminator_dropout": 0.0,
                "noise": 0.3,
                "energy_optimiser": ADAM,
                "sampler_optimiser": ADAM,
            },
            "training": {"steps": 10_000, "batch_size": 128},
        },
        task="Tag images",
        measured="features of faces, all steps: 4 min on a busy core",
    ),
]
