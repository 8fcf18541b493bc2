"""Balcerak et al.: Energy Matching: Unifying Flow Matching and Energy-Based Models (2025)."""

from typing import Any

from energan.recipes.recipe import Recipe, decayed

# The settings are ours, for CPUs: fewer and longer steps of chains, and a weight that fades where
# data is near, since no smooth potential has a cone at each mode. Modes of the ring are 0.02 wide:
# at this temperature chains of Δt 0.02 are still stable there (Δt·T/0.02² is 1/4).
RING: dict[str, Any] = {
    "warm_up": 3000,
    "temperature": 0.005,
    "ramp": 0.8,
    "fades": True,
    "time_step": 0.02,
    "steps": 75,
    "sample_steps": 100,
    "contrast": 0.3,
    "energy_optimiser": {"lr": "linear(0.005, 0.0003, 3000)", "beta1": 0.9, "beta2": 0.99},
}


def _images(warm_up: int, stages: list[int], lr: float, steps: int) -> dict[str, Any]:
    """The settings of images: chains of 30 steps to t = 1.5, samples to t = 2."""
    return {
        "stages": stages,
        "warm_up": warm_up,
        "ramp": 0.9,
        "time_step": 0.05,
        "steps": 30,
        "sample_steps": 40,
        "energy_optimiser": decayed(lr, steps, beta2=0.95, clip=1.0),
    }


RECIPES = [
    Recipe(
        "energymatching-ring",
        "Energy Matching on eight Gaussians in the plane",
        "energy_matching",
        {
            "model": RING,
            "data": {"source": "ring"},
            "training": {"steps": 4000, "batch_size": 128},
        },
    ),
    Recipe(
        "energymatching-digits",
        "Energy Matching on 8×8 digits",
        "energy_matching",
        {
            "model": _images(4000, [32, 48], 0.002, 5000),
            "data": {"source": "digits"},
            "training": {"steps": 5000, "batch_size": 64},
        },
    ),
    Recipe(
        "energymatching-mnist",
        "Energy Matching on MNIST, narrow enough for a CPU",
        "energy_matching",
        {
            # Samples end at t = 1: after so few steps with contrast the noise beyond spoils them.
            "model": {**_images(3000, [16, 32, 64], 0.002, 3060), "sample_steps": 20},
            "data": {"source": "mnist"},
            "training": {"steps": 3060, "batch_size": 64},
        },
    ),
    Recipe(
        "energymatching-folder",
        "Energy Matching on your own images (--data PHOTOS)",
        "energy_matching",
        {
            "model": _images(9000, [16, 32, 64, 96], 0.001, 10_000),
            "data": {"source": "PHOTOS", "size": 64},  # which says: name your own
            "training": {"steps": 10_000, "batch_size": 32},
        },
        task="Make images like yours",
    ),
    Recipe(
        "energymatching-cifar10",
        "Energy Matching on CIFAR-10 with the published steps; meant for a GPU",
        "energy_matching",
        {
            "model": {"stages": [128, 256, 256, 256], "blocks": 2, "warm_up": 145_000},
            "data": {"source": "cifar10", "mirror": True},
            "training": {"steps": 147_000, "batch_size": 128},
        },
    ),
]
