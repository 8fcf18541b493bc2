"""Goodfellow et al.: Generative Adversarial Nets (2014)."""

from energan.recipes.recipe import Recipe

# The paper has no toy in the plane; these settings are ours. With two of D's steps for each of G's
# G does not collapse to a few of the eight modes, as it does with one.
RING_RATE = {"kind": "adam", "lr": 0.001}

# Figure 1 names no settings; these are ours. z is one number, so that its way to x can be drawn,
# and normal: p_g of a bounded z ends somewhere, and D beyond it is 1 to the last. Five steps of D
# for each of G's, at ten times its rate, let D follow; rates that fall to 0 bring p_g to rest on
# p_data. Weights of some seeds (0 and 1 are among them) send z and -z the same way at first: p_g
# then lies on one side of 0 and is slow to leave it.
LINE_RATES = {
    "energy_optimiser": {"kind": "adam", "lr": "linear(0.002, 0, 1000, 1000)"},
    "sampler_optimiser": {"kind": "adam", "lr": "linear(0.0002, 0, 1000, 1000)"},
}

# CIFAR-10 and TFD after the settings that were published with the code; the momentum rises over
# 250 epochs of 40,000 images, or of some 98,000 faces. How long was trained is known of TFD alone.
CIFAR10 = {"source": "cifar10", "held_out": 10_000}
DENSE_RATE = {
    "kind": "sgd",
    "lr": "geometric(0.025, 1.000004, 0.000001)",
    "momentum": "linear(0.5, 0.7, 100000)",
}
TFD_RATE = {
    "kind": "sgd",
    "lr": "geometric(0.05, 1.000004, 0.000001)",
    "momentum": "linear(0.5, 0.7, 245000)",
}

# The momentum rises over 250 epochs, 125,000 steps; 20,000 make 40. Samples are of averaged weights
# unless `--weights raw` asks for the published ones: averaging changes nothing in training.
RECIPES = [
    Recipe(
        "gan-mnist",
        "the 2014 GAN on MNIST with its published settings",
        "gan",
        {
            "data": {"source": "mnist", "range": "unit"},
            "training": {"steps": 20_000},
        },
    ),
    Recipe(
        "gan-cifar10",
        "the 2014 GAN on CIFAR-10, fully connected; meant for a GPU",
        "gan",
        {
            "model": {
                "generator": [8000, 8000],
                "discriminator": [1600, 1600],
                "output": "linear",
                "start_at_mean": False,
                "energy_optimiser": DENSE_RATE,
                "sampler_optimiser": DENSE_RATE,
            },
            "data": CIFAR10,
            "training": {"steps": 40_000},
        },
    ),
    Recipe(
        "gan-cifar10-conv",
        "the 2014 GAN on CIFAR-10 with maxout convolutions and a deconvolution; meant for a GPU",
        "gan_conv",
        {"data": CIFAR10, "training": {"steps": 31_250, "batch_size": 128}},
    ),
    Recipe(
        "gan-tfd",
        "the 2014 GAN on your own TFD_48x48.mat, fully connected; meant for a GPU",
        "gan",
        {
            "model": {
                "generator": [8000, 8000],
                "discriminator": [1200, 1200],
                "energy_optimiser": TFD_RATE,
                "sampler_optimiser": TFD_RATE,
            },
            "data": {"source": "tfd", "range": "unit"},
            "training": {"steps": 49_000},
        },
    ),
    Recipe(
        "gan-ring",
        "a GAN on eight Gaussians in the plane",
        "gan",
        {
            "model": {
                "generator": [128, 128],
                "discriminator": [128, 128],
                "maxout_pieces": 0,
                "dropout": 0,
                "latent": 16,
                "prior": "normal",
                "output": "linear",
                "start_at_mean": False,
                "weights": "normal",
                "generator_scale": 0.1,
                "discriminator_scale": 0.1,
                "energy_steps": 2,
                "energy_optimiser": RING_RATE,
                "sampler_optimiser": RING_RATE,
            },
            "data": {"source": "ring"},
            "training": {"steps": 10_000, "batch_size": 256},
        },
    ),
    Recipe(
        "gan-line",
        "a GAN on a one-dimensional Gaussian (figure 1: `energan figures gan1d`)",
        "gan",
        {
            "model": {
                "generator": [64, 64],
                "discriminator": [64, 64],
                "maxout_pieces": 0,
                "dropout": 0,
                "latent": 1,
                "prior": "normal",
                "output": "linear",
                "start_at_mean": False,
                "weights": "normal",
                "generator_scale": 0.2,
                "discriminator_scale": 0.2,
                "energy_steps": 5,
                **LINE_RATES,
            },
            "data": {"source": "gaussian"},
            "training": {"steps": 2000, "batch_size": 256},
            "output": {"checkpoint_every": 100, "keep": 20},
            "seed": 2,
        },
    ),
]
