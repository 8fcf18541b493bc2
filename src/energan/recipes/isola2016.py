"""Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks (2016).

The facades of section 3: 400 pairs one by one, 200 epochs, jitter (286 cut to 256) and mirroring,
rates that fall to 0 over the second half. The photograph is on the left of each file. A shorter run
sets the two rates' schedules with its steps, or it never sees them fall. Weights are not averaged,
as published.

`pix2pix-folder` is for pairs of one's own, on a CPU: 64×64, where the networks have a quarter of
the published maps, batches of which each image is normalised by itself, averaged weights.
"""

from typing import Any

from energan.recipes.recipe import Recipe

FACADES: dict[str, Any] = {
    "source": "facades",
    "size": 256,
    "jitter": True,
    "mirror": True,
}
LENGTH: dict[str, Any] = {"steps": 80_000, "batch_size": 1, "ema": 0}
BEST: dict[str, Any] = {"keep_best": "l1"}

FOLDER: dict[str, Any] = {
    "model": {
        "norm": "image",
        "energy_optimiser": {"lr": "linear(0.0002, 0, 2000, 2000)"},
        "sampler_optimiser": {"lr": "linear(0.0002, 0, 2000, 2000)"},
    },
    "data": {
        "source": "PAIRS",  # which says: name your own
        "direction": "left-to-right",
        "size": 64,
        "jitter": True,
        "mirror": True,
    },
    "training": {"steps": 4000, "batch_size": 4},
}

RECIPES = [
    Recipe(
        "pix2pix-folder",
        "pix2pix on your own pairs (--data PAIRS), with networks chosen from the image size",
        "pix2pix",
        {**FOLDER, "output": BEST},
        task="Turn images into others",
    ),
    Recipe(
        "pix2pix-facades",
        "facades: label map -> photograph",
        "pix2pix",
        {"data": {**FACADES, "direction": "right-to-left"}, "training": LENGTH, "output": BEST},
        task="Turn images into others",
        measured="400 pairs at 128×128, half of the maps, 10,000 steps: 81 min on a busy core",
    ),
    Recipe(
        "pix2pix-facades-labels",
        "facades: photograph -> label map",
        "pix2pix",
        {"data": {**FACADES, "direction": "left-to-right"}, "training": LENGTH, "output": BEST},
    ),
]
