"""Song & Ermon: Generative Modeling by Estimating Gradients of the Data Distribution (2019)."""

from energan.recipes.recipe import Recipe, decayed

# In the plane a place does not tell its level of noise: the ring has one, wide enough for chains
# to cross between modes, and the last step of a sample takes it away. Images have the published
# levels, with fewer steps in each, and networks for CPUs.
RECIPES = [
    Recipe(
        "scorematching-ring",
        "denoising score matching on eight Gaussians in the plane",
        "score_matching",
        {
            "model": {
                "largest": 2.0,
                "smallest": 0.3,
                "levels": 1,
                "level_steps": 200,
                "energy_optimiser": decayed(0.005, 4000, beta2=0.99),
            },
            "data": {"source": "ring"},
            "training": {"steps": 4000, "batch_size": 128},
        },
    ),
    Recipe(
        "scorematching-digits",
        "denoising score matching on 8×8 digits",
        "score_matching",
        {
            "model": {
                "stages": [32, 48],
                "level_steps": 20,
                "energy_optimiser": decayed(0.002, 5000),
            },
            "data": {"source": "digits"},
            "training": {"steps": 5000, "batch_size": 64},
        },
    ),
    Recipe(
        "scorematching-mnist",
        "denoising score matching on MNIST, narrow enough for a CPU",
        "score_matching",
        {
            "model": {
                "stages": [24, 48, 96],
                "level_steps": 20,
                "energy_optimiser": decayed(0.001, 5000),
            },
            "data": {"source": "mnist"},
            "training": {"steps": 5000, "batch_size": 64},
        },
    ),
    Recipe(
        "scorematching-folder",
        "denoising score matching on your own images (--data PHOTOS)",
        "score_matching",
        {
            "model": {
                "stages": [16, 32, 64, 96],
                "level_steps": 20,
                "energy_optimiser": decayed(0.001, 10_000),
            },
            "data": {"source": "PHOTOS", "size": 64},  # which says: name your own
            "training": {"steps": 10_000, "batch_size": 32},
        },
        task="Make images like yours",
    ),
    Recipe(
        "scorematching-cifar10",
        "denoising score matching on CIFAR-10, with the published levels; meant for a GPU",
        "score_matching",
        {
            "model": {"stages": [128, 256, 256, 256], "blocks": 2},
            "data": {"source": "cifar10", "mirror": True},
            "training": {"steps": 200_000, "batch_size": 128},
        },
    ),
]
