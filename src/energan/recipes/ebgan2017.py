"""Zhao, Mathieu, LeCun: Energy-based Generative Adversarial Network (ICLR 2017), section 4.1."""

from typing import Any

from energan.recipes.recipe import Recipe

# Figure 4's best EBGAN: nLayerG 5, nLayerD 2, sizeG 800, sizeD 1024, no dropout, Adam 0.001, m 10.
# Digits are padded to 32×32; z ~ N(0, I) of 100 and batches of 100 are ours, the paper names none.
MNIST: dict[str, Any] = {
    "data": {"source": "mnist", "pad": 32},
    "training": {"steps": 12_000},
}

# The paper has no toy in the plane; these settings are ours. A decoder needs depth to tell on from
# off the ring; z of two numbers lays itself around it, where sixteen drop modes; rates that fall
# to 0 let the samples settle.
RING_RATE = {"lr": "linear(0.0005, 0, 6000, 6000)"}
RING: dict[str, Any] = {
    "model": {
        "margin": 2,
        "pull_away": 0.1,
        "norm": False,
        "latent": 2,
        "generator": [128, 128, 128],
        "encoder": [128, 128],
        "decoder": [128],
        "output": "linear",
        "generator_scale": None,
        "discriminator_scale": None,
        "energy_optimiser": RING_RATE,
        "sampler_optimiser": RING_RATE,
    },
    "data": {"source": "ring"},
    "training": {"steps": 12_000},
}

# A folder of the user's own images. The networks are those of section 4.3 with fewer maps: on two
# cores the paper's take 16 times as long for a step.
FOLDER: dict[str, Any] = {
    "model": {
        "margin": "auto",
        "generator_width": 32,
        "encoder_width": 32,
    },
    "data": {"source": "PHOTOS", "size": 64},  # which says: name your own
    "training": {"steps": 20_000, "batch_size": 32},
}

RECIPES = [
    Recipe(
        "ebgan-digits",
        "EBGAN-PT on scikit-learn's 8×8 digits: the demo, no download",
        "ebgan",
        {
            # 2.5/√64 = 0.31 a pixel, as the paper's 10 is for its 32×32 digits.
            "model": {
                "margin": 2.5,
                "pull_away": 0.1,
                "generator": [256, 256, 256],
                "encoder": [256],
            },
            "data": {"source": "digits"},
            "training": {"steps": 12_000},
        },
    ),
    Recipe("ebgan-mnist", "the paper's best EBGAN on MNIST (figure 4b)", "ebgan", MNIST),
    Recipe(
        "ebgan-pt-mnist",
        "the same with the pulling-away term, weight 0.1 (figure 4c)",
        "ebgan",
        {**MNIST, "model": {"pull_away": 0.1}},
    ),
    Recipe(
        "ebgan-folder",
        "EBGAN-PT on your own images (--data PHOTOS): depth from the size, margin estimated",
        "ebgan_conv",
        FOLDER,
    ),
    Recipe(
        "ebgan-blog",
        "the small convolutional EBGAN of public copies, 32×32, with their faults mended",
        "ebgan_blog",
        {
            "data": {"source": "cifar10"},
            "training": {"steps": 20_000, "batch_size": 64},
        },
    ),
    Recipe("ebgan-ring", "EBGAN-PT on eight Gaussians in the plane", "ebgan", RING),
]
