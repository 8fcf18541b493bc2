"""Goodfellow et al.: Generative Adversarial Nets (2014)."""

from energan.recipes.recipe import Recipe

# The paper has no toy in the plane; these settings are ours. With two of D's steps for each of G's
# G does not collapse to a few of the eight modes, as it does with one.
RING_RATE = {"kind": "adam", "lr": 0.001}

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
]
