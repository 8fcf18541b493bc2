"""Sohn et al.: FixMatch, Simplifying Semi-Supervised Learning (NeurIPS 2020)."""

from energan.recipes.recipe import Recipe

# A network for CPUs, and Adam, where the paper has a WRN-28-2 and SGD over a million steps.
RECIPES = [
    Recipe(
        "few-labels-photos",
        "a classifier of your own photographs that needs few labels (--data PHOTOS): FixMatch",
        "fixmatch",
        {
            "model": {"energy_optimiser": {"lr": "linear(0.001, 0.0001, 4000)", "beta1": 0.9}},
            "data": {"source": "PHOTOS", "size": 64, "mirror": True},  # which says: name your own
            "training": {"steps": 4000, "batch_size": 64},
        },
        task="Classify from few labels",
    ),
]
