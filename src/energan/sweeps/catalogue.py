"""The searches of Zhao et al. 2017: table 1, figure 9, and appendix D."""

from typing import Any

from energan.sweeps.grid import Axes, Sweep, Values

# Table 1. An n of nLayerG or nLayerD counts weight layers: G has n − 1 hidden ones of sizeG, the
# GAN's D n − 1 of sizeD, EBGAN's encoder n − 1 of sizeD, the last of them the code.
SHAPES: Axes = {
    "nLayerG": (2, 3, 4, 5),
    "nLayerD": (2, 3, 4, 5),
    "sizeG": (400, 800, 1600, 3200),
    "sizeD": (128, 256, 512, 1024),
    "dropoutD": (True, False),
}
DROPOUT = 0.5  # on hidden layers; the paper names no rate
# No averaged weights: the paper has none. What is written on the way is not looked at.
QUIET = {
    "training.ema": 0,
    "output.sample_every": 0,
    "output.checkpoint_every": 0,
    "output.keep": 1,
    "output.tensorboard": False,
}
BY_CLASSES = ("modified_inception_score", "inception_score")


def _ebgan(values: Values) -> dict[str, Any]:
    lr = values["lr"]
    return {
        "model.generator": [values["sizeG"]] * (values["nLayerG"] - 1),
        "model.encoder": [values["sizeD"]] * (values["nLayerD"] - 1),
        "model.dropout": DROPOUT if values["dropoutD"] else 0.0,
        "model.energy_optimiser": {"kind": values["optimD"], "lr": lr},
        "model.sampler_optimiser": {"kind": values["optimG"], "lr": lr},
    }


def _gan(values: Values) -> dict[str, Any]:
    changes = _ebgan(values)
    changes["model.discriminator"] = changes.pop("model.encoder")
    return changes


# Appendix D: digits from few labels, by the error on the last 10,000 training images, never on the
# test set. λ is over the 784 numbers in an image. The rates fall to 0 over the last third of
# 120,000 steps.
LABELS = (100, 200, 1000)
LADDER: Axes = {
    "labels": LABELS,
    "reconstruction": (5000, 2000, 1000, 500),
    "lr": (0.002, 0.001, 0.0005, 0.0002, 0.0001),
}
# The paper searched the margin's decay and prints only what it found: from 16 to 0 over 60,000
# steps, where the generator stops. This grid around it is ours.
DECAY: Axes = {
    "labels": LABELS,
    "margin": (4, 8, 16, 32),
    "until": (30_000, 60_000, 90_000),
}


def _ladder(values: Values) -> dict[str, Any]:
    return {
        "data.labelled": values["labels"],
        "model.reconstruction": values["reconstruction"],
        "model.energy_optimiser.lr": f"linear({values['lr']}, 0, 40000, 80000)",
    }


def _decay(values: Values) -> dict[str, Any]:
    return {
        "data.labelled": values["labels"],
        "model.margin": f"linear({values['margin']}, 0, {values['until']})",
        "model.until": values["until"],
    }


_ALL = [
    Sweep(
        "ebgan-grid",
        "the 512 EBGAN settings of table 1, ranked by I′ (figures 2 to 4)",
        "ebgan-mnist",
        {**SHAPES, "optimD": ("adam",), "optimG": ("adam",), "lr": (0.001,)},
        _ebgan,
        QUIET,
        BY_CLASSES,
    ),
    Sweep(
        "gan-grid",
        "the 6,144 GAN settings of table 1, ranked by I′ (figures 2 to 4)",
        "gan-relu-mnist",
        {
            **SHAPES,
            "optimD": ("adam", "sgd"),
            "optimG": ("adam", "sgd"),
            "lr": (0.01, 0.001, 0.0001),
        },
        _gan,
        QUIET,
        BY_CLASSES,
    ),
    Sweep(
        "margin-sweep",
        "EBGAN with eight margins (figure 9)",
        "ebgan-mnist",
        {"model.margin": (1, 2, 4, 6, 8, 12, 16, 32)},
        base={**QUIET, "model.generator": [1600] * 4, "model.encoder": [1024]},
        metrics=BY_CLASSES,
    ),
    Sweep(
        "ladder-grid",
        "ladder network: λ and learning rate, for each number of labels (appendix D)",
        "ladder-mnist-100",
        LADDER,
        _ladder,
        metrics=("error",),
    ),
    Sweep(
        "decay-grid",
        "EBGAN-LN: start and end of the margin's decay, for each number of labels (ours)",
        "ebgan-ln-mnist-100",
        DECAY,
        _decay,
        metrics=("error",),
    ),
    Sweep(
        "stacked-coverage",
        "EBGAN, and EBGAN-PT with several weights of PT, on Stacked MNIST: modes covered (ours)",
        "ebgan-stacked",
        {"model.pull_away": (0, 0.01, 0.03, 0.1, 0.3, 1), "seed": (0, 1, 2, 3, 4)},
        base=QUIET,
        metrics=("class_coverage", "class_kl"),
    ),
]

SWEEPS: dict[str, Sweep] = {sweep.name: sweep for sweep in _ALL}
