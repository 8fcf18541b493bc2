"""Wang & Du: Equilibrium Matching: Generative Modeling with Implicit Energy-Based Models (2025)."""

from energan.recipes.recipe import Recipe, decayed

# The paper has no toy, no digits and no photographs of one's own: these settings are ours, for
# CPUs. In the plane x does not tell how noisy it is, as an image does, so that there pairs of
# optimal transport keep paths apart. Fewer and longer steps: η times their number is near 0.4.
RECIPES = [
    Recipe(
        "equilibriummatching-ring",
        "Equilibrium Matching on eight Gaussians in the plane, on transport pairs",
        "equilibrium_matching",
        {
            "model": {
                "transported": True,
                "step_size": 0.005,
                "energy_optimiser": decayed(0.005, 4000, kind="adamw", beta2=0.99),
            },
            "data": {"source": "ring"},
            "training": {"steps": 4000, "batch_size": 128},
        },
    ),
    Recipe(
        "equilibriummatching-digits",
        "Equilibrium Matching on 8×8 digits",
        "equilibrium_matching",
        {
            "model": {
                "stages": [32, 48],
                "step_size": 0.01,
                "sample_steps": 100,
                "energy_optimiser": decayed(0.002, 5000, kind="adamw"),
            },
            "data": {"source": "digits"},
            "training": {"steps": 5000, "batch_size": 64},
        },
    ),
    Recipe(
        "equilibriummatching-mnist",
        "Equilibrium Matching on MNIST, narrow enough for a CPU",
        "equilibrium_matching",
        {
            "model": {
                "stages": [24, 48, 96],
                "step_size": 0.01,
                "sample_steps": 100,
                "energy_optimiser": decayed(0.001, 5000, kind="adamw"),
            },
            "data": {"source": "mnist"},
            "training": {"steps": 5000, "batch_size": 64},
        },
    ),
    Recipe(
        "equilibriummatching-folder",
        "Equilibrium Matching on your own images (--data PHOTOS)",
        "equilibrium_matching",
        {
            "model": {
                "stages": [16, 32, 64, 96],
                "step_size": 0.01,
                "sample_steps": 100,
                "energy_optimiser": decayed(0.001, 10_000, kind="adamw"),
            },
            "data": {"source": "PHOTOS", "size": 64},  # which says: name your own
            "training": {"steps": 10_000, "batch_size": 32},
        },
        task="Make images like yours",
    ),
    Recipe(
        "equilibriummatching-cifar10",
        "Equilibrium Matching on CIFAR-10; meant for a GPU",
        "equilibrium_matching",
        {
            "model": {"stages": [128, 256, 256, 256], "blocks": 2},
            "data": {"source": "cifar10", "mirror": True},
            "training": {"steps": 200_000, "batch_size": 128},
        },
    ),
]
