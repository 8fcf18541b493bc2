"""Models conditioned on labels: Mirza & Osindero 2014, and the conditional EBGAN."""

from typing import Any

from energan.recipes.recipe import Recipe

# Radford et al. 2015 with an eighth of G's maps and a quarter of D's, for a CPU; z, first weights
# and Adam are theirs. The encoder ends at 2×2, where each number of the code sees the whole digit:
# at the 8×8 of section 4.3 it sees 10 pixels, too few to tell whether the digit is the label's.
DIGITS_32: dict[str, Any] = {
    "data": {"source": "mnist", "pad": 32},
    "training": {"steps": 6_000, "batch_size": 64},
}

# The same for classes of the user's own images, often few of each: with DiffAugment.
FOLDER: dict[str, Any] = {
    "model": {
        "generator_width": 16,
        "discriminator_width": 16,
        "augment": ["colour", "translation", "cutout"],
    },
    "data": {"source": "PHOTOS", "size": 64, "unlabelled": False},  # PHOTOS says: name your own
    "training": {"steps": 6_000, "batch_size": 32},
}

RECIPES = [
    Recipe(
        "cdcgan-folder",
        "a conditional DCGAN on your own images and classes (--data PHOTOS): class folders or a "
        "CSV (--data.labels)",
        "cdcgan",
        FOLDER,
        task="Make images of a class",
    ),
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
        "cdcgan-mnist",
        "a conditional DCGAN on MNIST at 32×32, narrow enough for a CPU",
        "cdcgan",
        {"model": {"generator_width": 16, "discriminator_width": 16}, **DIGITS_32},
        task="Make images of a class",
        measured="50,000 digits, all steps: 11 min on a busy core",
    ),
    Recipe(
        "cebgan-conv-mnist",
        "a convolutional conditional EBGAN-PT on MNIST at 32×32, to compare with cdcgan-mnist",
        "cebgan_conv",
        {"model": {"margin": 10, "generator_width": 16, "encoder": [16, 32, 64, 64]}, **DIGITS_32},
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
        task="Make images of a class",
    ),
]
