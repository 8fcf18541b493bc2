"""Goodfellow et al.: Generative Adversarial Nets (2014)."""

from energan.recipes.recipe import Recipe

RECIPES = [
    Recipe(
        "gan-mnist",
        "the 2014 GAN on MNIST with its published settings",
        "gan",
        {
            "data": {"source": "mnist", "range": "unit"},
            "training": {"steps": 20_000},
        },
    ),
    Recipe(
        "gan-ring",
        "a GAN on eight Gaussians in the plane",
        "gan",
        {
            "data": {"source": "ring"},
            "training": {"steps": 10_000},
        },
    ),
]
