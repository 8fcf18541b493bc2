"""Huang, Gokaslan, Kuleshov, Tompkin: The GAN is dead; long live the GAN! (NeurIPS 2024)."""

from typing import Any

from energan.recipes.recipe import Recipe


def _falling(gamma: float, over: int) -> dict[str, str]:
    """Both weights, falling to a tenth over so many steps, as the published ones do."""
    written = f"linear({gamma:g}, {gamma / 10:g}, {over})"
    return {"r1": written, "r2": written}


# γ is the published one of FFHQ at 64×64 for photographs, and of CIFAR-10; of digits it is ours.
# So are the widths, for a CPU, the batches and the lengths. DiffAugment stands where the paper has
# adaptive augmentation.
FOLDER: dict[str, Any] = {
    "model": {
        **_falling(2, 5000),
        "generator_width": 8,  # at the full size alone 16 would be four times the work
        "discriminator_width": 8,
        "augment": ["colour", "translation", "cutout"],
    },
    "data": {"source": "PHOTOS", "size": 64},  # which says: name your own
    "training": {"steps": 10_000, "batch_size": 32},
}

RECIPES = [
    Recipe(
        "r3gan-mnist",
        "R3GAN on MNIST at 32×32, narrow enough for a CPU",
        "r3gan",
        {
            "model": _falling(1, 2000),
            "data": {"source": "mnist", "pad": 32},
            "training": {"steps": 4000, "batch_size": 64},
        },
    ),
    Recipe(
        "r3gan-mnist-labels",
        "a conditional R3GAN on MNIST, the narrowest, to compare with cgan-mnist",
        "r3gan",
        {
            "model": {
                **_falling(1, 1500),
                "conditional": True,
                "generator_width": 8,
                "discriminator_width": 8,
            },
            "data": {"source": "mnist"},
            "training": {"steps": 3000, "batch_size": 64},
        },
    ),
    Recipe(
        "r3gan-stacked",
        "R3GAN on Stacked MNIST, to compare with ebgan-stacked",
        "r3gan",
        {
            "model": _falling(1, 4000),
            "data": {"source": "stacked-mnist"},
            "training": {"steps": 8000, "batch_size": 64},
        },
    ),
    Recipe(
        "r3gan-folder",
        "R3GAN on your own images (--data PHOTOS), even a few hundred, with DiffAugment",
        "r3gan",
        FOLDER,
        task="Make images like yours",
    ),
    Recipe(
        "r3gan-cifar10",
        "R3GAN on CIFAR-10 with 1/24 of the published channels, and DiffAugment",
        "r3gan",
        {
            "model": {
                **_falling(0.05, 25_000),
                "generator_width": 32,
                "discriminator_width": 32,
                "augment": ["translation", "cutout"],
            },
            "data": {"source": "cifar10", "mirror": True},
            "training": {"steps": 50_000, "batch_size": 64},
        },
    ),
]
