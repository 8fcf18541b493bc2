"""Huang, Gokaslan, Kuleshov, Tompkin: The GAN is dead; long live the GAN! (NeurIPS 2024)."""

from typing import Any

from energan.recipes.recipe import Recipe


def _falling(gamma: float, over: int) -> dict[str, str]:
    """Both weights, falling to a tenth over so many steps, as the published ones do."""
    written = f"linear({gamma:g}, {gamma / 10:g}, {over})"
    return {"r1": written, "r2": written}


def _narrow(gamma: float, steps: int) -> dict[str, Any]:
    """Settings of narrow networks that train for so many steps.

    The published rates and weights are those of 768 maps. With 16 maps and Adam at 2e-4 G hardly
    moves, and with γ 1 D has won before it does: L_G stays above 3, and digits never become
    sharp. Rates ten times as high fall to a quarter, as the published ones do.
    """
    rate = {"lr": f"linear(0.002, 0.0005, {steps})", "beta1": 0.0, "beta2": 0.99}
    return {
        **_falling(gamma, steps // 2),
        "energy_optimiser": rate,
        "sampler_optimiser": rate,
    }


# γ is ours but for CIFAR-10, where it is the published one. So are the widths, for a CPU, the
# batches and the lengths. DiffAugment stands where the paper has adaptive augmentation.
FOLDER: dict[str, Any] = {
    "model": {
        **_narrow(10, 10_000),
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
            "model": _narrow(10, 4000),
            "data": {"source": "mnist", "pad": 32},
            "training": {"steps": 4000, "batch_size": 64},
        },
    ),
    Recipe(
        "r3gan-mnist-labels",
        "a conditional R3GAN on MNIST, narrow enough for a CPU",
        "r3gan",
        {
            "model": {**_narrow(10, 3000), "conditional": True},
            "data": {"source": "mnist"},
            "training": {"steps": 3000, "batch_size": 64},
        },
    ),
    Recipe(
        "r3gan-stacked",
        "R3GAN on Stacked MNIST, to compare with ebgan-stacked",
        "r3gan",
        {
            "model": _narrow(20, 8000),
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
