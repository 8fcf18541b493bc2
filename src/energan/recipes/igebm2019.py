"""Du & Mordatch: Implicit Generation and Generalization in Energy-Based Models (2019)."""

from energan.recipes.recipe import Recipe

# The paper has no toy in the plane; these settings are ours.
RING = {
    "hidden": [256, 256, 256],
    "spectral": False,
    "steps": 40,
    "step_size": 0.0004,
    "noise": None,
    "clip": None,
    "noise_first": False,
    "energy_l2": 0.01,
    "energy_optimiser": {"lr": 0.0003, "beta1": 0.0},
}
# The paper has no MNIST; a network sized for two cores.
MNIST = {
    "stages": [32, 64],
    "blocks": [1],
    "halve_first": True,
    "steps": 30,
    "data_noise": 0.01,
    "energy_l2": 0.1,
    "energy_optimiser": {"lr": 0.0003, "beta1": 0.0},
}
GUARDED = {"on_divergence": "rollback"}

RECIPES = [
    Recipe(
        "igebm-ring",
        "an energy sampled by Langevin dynamics, on eight Gaussians in the plane",
        "igebm",
        {
            "model": RING,
            "data": {"source": "ring"},
            "training": {"steps": 20_000, "batch_size": 256, **GUARDED},
        },
    ),
    Recipe(
        "igebm-mnist",
        "an energy sampled by Langevin dynamics, on MNIST",
        "igebm",
        {
            "model": MNIST,
            "data": {"source": "mnist", "range": "unit"},
            "training": {"steps": 4000, "batch_size": 64, **GUARDED},
        },
    ),
    Recipe(
        "igebm-cifar10",
        "IGEBM on CIFAR-10, unconditional",
        "igebm",
        {
            "data": {"source": "cifar10", "range": "unit"},
            "training": {"steps": 100_000, "batch_size": 128, **GUARDED},
        },
    ),
    Recipe(
        "igebm-cifar10-conditional",
        "IGEBM on CIFAR-10, given the class",
        "igebm",
        {
            "model": {"conditional": True},
            "data": {"source": "cifar10", "range": "unit"},
            "training": {"steps": 100_000, "batch_size": 128, **GUARDED},
        },
    ),
    Recipe(
        "igebm-imagenet128",
        "IGEBM on 128×128 images of a folder of class folders, given the class",
        "igebm",
        {
            "model": {
                "stages": [64, 128, 256, 512, 1024],
                "blocks": [1, 1, 1, 1, 2],
                "conditional": True,
                "steps": 50,
            },
            "data": {"source": "imagenet", "size": 128, "range": "unit"},
            "training": {"steps": 100_000, "batch_size": 64, **GUARDED},
        },
    ),
]
