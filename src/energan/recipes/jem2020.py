"""Grathwohl et al.: Your Classifier is Secretly an Energy Based Model (ICLR 2020)."""

from typing import Any

from energan.recipes.recipe import Recipe

# Networks for CPUs, and a small weight of the squares, since long trainings with chains diverge,
# as the paper says of its own. Images in [0, 1], as the chains' settings speak.
SMALL: dict[str, Any] = {"blocks": [1], "energy_l2": 0.001}
GUARDED = {"on_divergence": "rollback"}

RECIPES = [
    Recipe(
        "jem-digits",
        "JEM on 8×8 digits: one network that classifies, samples and scores",
        "jem",
        {
            "model": {
                **SMALL,
                "stages": [32, 64],
                "buffer": 2000,
                "energy_optimiser": {"lr": "linear(0.0005, 0.00005, 2000)", "beta1": 0.9},
            },
            "data": {"source": "digits", "range": "unit"},
            "training": {"steps": 2000, "batch_size": 64, **GUARDED},
        },
    ),
    Recipe(
        "jem-mnist",
        "JEM on MNIST, narrow enough for a CPU",
        "jem",
        {
            "model": {
                **SMALL,
                "stages": [24, 48, 96],
                "halve_first": True,
                "buffer": 3000,
                # With the published weight of 1 Adam's steps follow the chains, whose gradient is
                # far larger, and digits are classified only after some thousand steps.
                "contrast": 0.1,
                "energy_optimiser": {"lr": "linear(0.0003, 0.00003, 1500, 2000)", "beta1": 0.9},
            },
            "data": {"source": "mnist", "range": "unit"},
            "training": {"steps": 3500, "batch_size": 64, **GUARDED},
        },
    ),
]
