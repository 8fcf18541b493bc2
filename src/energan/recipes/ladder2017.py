"""Few labels: Zhao et al. 2017, section 4.2 and appendix D, on the ladder network of 2015."""

from typing import Any

from energan.recipes.recipe import Recipe

# Appendix D: digits of 28×28, not padded; λ 1000/784, Adam with β1 0.5, batches of 100. Rates fall
# from 2/3 of the steps. Open, so ours: images in [0, 1]; as many labelled images as unlabelled ones
# in a step; U and a choice of settings judged by the last 10,000 training images. No averaged
# weights: neither paper has them. A step is short, so that figures each 1,000 steps are enough.
RARELY = {"log_every": 1000, "sample_every": 10_000, "checkpoint_every": 10_000}


def _digits(labels: int, steps: int) -> dict[str, Any]:
    return {
        "data": {"source": "mnist", "range": "unit", "labelled": labels, "held_out": 10_000},
        "training": {"steps": steps, "batch_size": 100, "ema": 0.0},
        "output": RARELY,
    }


# The margin falls over the first 60,000 steps, and D trains 120,000 more.
CONTRAST = {
    "margin": "linear(16, 0, 60000)",
    "until": 60_000,
    "energy_optimiser": {"lr": "linear(0.0005, 0, 60000, 120000)"},
    "sampler_optimiser": {"lr": 0.00025},
}

# A folder of the user's own images, of any size: all get 28×28, and are flattened. A shorter
# schedule with ten times the paper's rate; γ on the logits, without which no probability of ten
# classes comes near 1.
FOLDER: dict[str, Any] = {
    "model": {"energy_optimiser": {"lr": "linear(0.002, 0, 6667, 13333)"}, "top_scale": True},
    "data": {"source": "PHOTOS", "size": 28, "range": "unit"},  # which says: name your own
    "training": {"steps": 20_000, "batch_size": 100, "ema": 0.0},
    "output": {"log_every": 200, "sample_every": 5000},
}

RECIPES = [
    *(
        Recipe(
            f"ladder-mnist-{labels}",
            f"MNIST from {labels} labels: the ladder network, the baseline of table 2",
            "ladder",
            {
                "model": {"energy_optimiser": {"lr": "linear(0.0002, 0, 40000, 80000)"}},
                **_digits(labels, 120_000),
            },
        )
        for labels in (100, 200, 1000)
    ),
    *(
        Recipe(
            f"ebgan-ln-mnist-{labels}",
            f"MNIST from {labels} labels: the ladder network in the EBGAN framework (table 2)",
            "ebgan_ln",
            {"model": CONTRAST, **_digits(labels, 180_000)},
        )
        for labels in (100, 200, 1000)
    ),
    Recipe(
        "few-labels",
        "a classifier of your own digits, symbols or icons that needs few labels (--data PHOTOS): "
        "the ladder network",
        "ladder",
        FOLDER,
        task="Classify from few labels",
    ),
]
