"""Is this part normal? An energy of cells, trained on good parts with synthetic defects."""

from energan.recipes.recipe import Recipe

RECIPES = [
    Recipe(
        "inspect-folder",
        "whether your own parts are normal (--data PARTS, of good ones), and where they are not",
        "inspect",
        {
            "data": {"source": "PARTS", "size": 256, "fit": "pad", "mirror": True},
            "training": {"steps": 3_000, "batch_size": 4, "ema": 0.99},
        },
    ),
]
