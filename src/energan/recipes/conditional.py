"""Models conditioned on labels: Mirza & Osindero 2014, and the conditional EBGAN."""

from energan.recipes.recipe import Recipe

RECIPES = [
    Recipe(
        "cgan-mnist",
        "the conditional GAN of 2014 on MNIST with its published settings",
        "cgan",
        {
            "data": {"source": "mnist", "range": "unit"},
            "training": {"steps": 20_000},
        },
    ),
    Recipe(
        "cebgan-mnist",
        "a conditional EBGAN on MNIST: ebgan-mnist with labels",
        "cebgan",
        {
            "data": {"source": "mnist", "pad": 32},
            "training": {"steps": 12_000},
        },
    ),
    Recipe(
        "cebgan-digits",
        "a conditional EBGAN-PT on scikit-learn's 8×8 digits, no download",
        "cebgan",
        {
            "model": {
                "margin": 2.5,
                "pull_away": 0.1,
                "generator": [256, 256, 256],
                "encoder": [256],
            },
            "data": {"source": "digits"},
            "training": {"steps": 6_000},
        },
    ),
]
