"""Zhao, Mathieu, LeCun: Energy-based Generative Adversarial Network (ICLR 2017)."""

from typing import Any

from energan.recipes.dogs import DOGS
from energan.recipes.recipe import Recipe

# Figure 4's best EBGAN: nLayerG 5, nLayerD 2, sizeG 800, sizeD 1024, no dropout, Adam 0.001, m 10.
# Digits are padded to 32×32; z ~ N(0, I) of 100 and batches of 100 are ours, the paper names none.
MNIST: dict[str, Any] = {
    "data": {"source": "mnist", "pad": 32},
    "training": {"steps": 12_000},
}

# Figure 4's best GAN: nLayerG 5, nLayerD 2, sizeG 1600, sizeD 1024, no dropout, SGD 0.01 for both.
BEST_GAN: dict[str, Any] = {
    "model": {
        "generator": [1600] * 4,
        "discriminator": [1024],
        "maxout_pieces": 0,
        "dropout": 0,
        "input_dropout": 0,
        "norm": True,
        "prior": "normal",
        "output": "tanh",
        "start_at_mean": False,
        "weights": "normal",
        "generator_scale": 0.02,
        "discriminator_scale": 0.002,
        "energy_optimiser": {"kind": "sgd", "lr": 0.01, "momentum": 0},
        "sampler_optimiser": {"kind": "sgd", "lr": 0.01, "momentum": 0},
    },
    **MNIST,
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

# Section 4.3 at 64×64, and its figures: 5, 6 and 11 set DCGAN beside EBGAN-PT, 12 to 14 EBGAN
# beside EBGAN-PT. The paper gives the auto-encoder, the margins 80 (LSUN) and 20 (CelebA), the
# weight 0.1, and for patches (appendix F) crops of 64×64 out of 96×96. For the rest it points to
# Radford et al. 2015, of whom are G, its z, the weights, batches of 128 and both Adams. Open, so
# ours: the length, 25,000 steps or 3.2 million images (once over the bedrooms, some sixteen times
# over the faces), the square that is cut out of CelebA's faces, and in the auto-encoder LeakyReLU
# 0.2, batch norm and a linear output. The dictionaries hold the data and the length alone, so that
# all systems of a pair have the same.
PAIRED = {"training": {"steps": 25_000, "batch_size": 128}}
FACES: dict[str, Any] = {"data": {"source": "celeba", "size": 64}, **PAIRED}
BEDROOMS: dict[str, Any] = {"data": {"source": "lsun-bedroom", "size": 64}, **PAIRED}
PATCHES: dict[str, Any] = {
    "data": {"source": "lsun-bedroom", "size": 96, "random_crop": 64},
    **PAIRED,
}


def _pair(
    name: str, images: str, figures: tuple[str, str], margin: float, settings: dict[str, Any]
) -> list[Recipe]:
    """EBGAN and EBGAN-PT on the same images: they differ in the pulling-away term alone."""
    return [
        Recipe(
            f"{start}-{name}",
            f"{system} on {images} ({figure})",
            "ebgan_conv",
            {"model": {"margin": margin, "pull_away": weight}, **settings},
        )
        for start, system, figure, weight in (
            ("ebgan", "EBGAN", figures[0], 0.0),
            ("ebgan-pt", "EBGAN-PT", figures[1], 0.1),
        )
    ]


# Section 4.4: networks, margins and the weight 0.1 are the paper's. Open, so ours: batches, length,
# U(−1, 1) for z and the noise planes alike, Radford's Adams and weights as in section 4.3. Batches
# are of one process: `torchrun` multiplies them. `--data` names a folder of your own; one that has
# no WordNet IDs wants `--data.classes` with nothing behind it for the dogs.
LARGE_128: dict[str, Any] = {
    "model": {"margin": 40, "pull_away": 0.1},
    "data": {"source": "imagenet", "size": 128},
    "training": {"steps": 100_000, "batch_size": 64},
}
LARGE_256: dict[str, Any] = {
    "model": {"margin": 80, "pull_away": 0.1},
    "data": {"source": "imagenet", "size": 256, "classes": DOGS},
    "training": {"steps": 100_000, "batch_size": 32},
}

# Three digits as the colours of one image, 1,000 classes (Metz et al. 2017): how many of them are
# reached? The paper has no such experiment, so all of this is ours: the networks of section
# 4.3 at 28×28 with half of their maps, and m = 15, 0.31 of the root of an image's numbers, as the
# paper's 10 is for its digits.
STACKED: dict[str, Any] = {
    "model": {"margin": 15, "pull_away": 0.1, "generator_width": 64, "encoder_width": 32},
    "data": {"source": "stacked-mnist"},
    "training": {"steps": 12_000, "batch_size": 64},
}

RECIPES = [
    Recipe(
        "ebgan-digits",
        "EBGAN-PT on scikit-learn's 8×8 digits: a quick demo, no download",
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
        task="Make images like yours",
    ),
    Recipe("ebgan-mnist", "the paper's best EBGAN on MNIST (figure 4b)", "ebgan", MNIST),
    Recipe(
        "ebgan-pt-mnist",
        "the same with the pulling-away term, weight 0.1 (figure 4c)",
        "ebgan",
        {**MNIST, "model": {"pull_away": 0.1}},
    ),
    Recipe(
        "gan-relu-mnist",
        "the paper's best GAN on MNIST, with the same networks (figure 4a)",
        "gan",
        BEST_GAN,
    ),
    Recipe(
        "ebgan-folder",
        "EBGAN-PT on your own images (--data PHOTOS); network depth and margin are chosen from "
        "the data",
        "ebgan_conv",
        FOLDER,
        task="Make images like yours",
        measured="9,000 faces of 64×64, 3,171 steps: 26 min on one or two busy cores",
    ),
    Recipe(
        "ebgan-blog",
        "the small convolutional EBGAN of popular public code at 32×32, with its bugs fixed",
        "ebgan_blog",
        {
            "data": {"source": "cifar10"},
            "training": {"steps": 20_000, "batch_size": 64},
        },
    ),
    Recipe(
        "ebgan-stacked",
        "EBGAN-PT on Stacked MNIST: how many of the 1,000 modes does it cover?",
        "ebgan_conv",
        STACKED,
    ),
    Recipe("ebgan-ring", "EBGAN-PT on eight Gaussians in the plane", "ebgan", RING),
    *_pair("celeba", "faces of 64×64", ("figure 14", "figures 6 and 14"), 20, FACES),
    *_pair("lsun", "bedrooms of 64×64", ("figure 12", "figures 5 and 12"), 80, BEDROOMS),
    *_pair("lsun-patches", "bedrooms' patches", ("figure 13", "figures 11 and 13"), 80, PATCHES),
    Recipe(
        "ebgan-imagenet-128",
        "EBGAN-PT on ImageNet at 128×128, noise in every layer (figure 7)",
        "ebgan_imagenet",
        LARGE_128,
    ),
    Recipe(
        "ebgan-dogs-256",
        "EBGAN-PT on ImageNet's dogs at 256×256, noise in every layer (figure 8)",
        "ebgan_imagenet",
        LARGE_256,
    ),
]
