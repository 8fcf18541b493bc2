"""The searches of Zhao et al. 2017, appendix D: digits from few labels.

By the error on the last 10,000 training images, never on the test set.
"""

from energan.sweep.grid import Axes, Sweep

# λ is over the 784 numbers in an image. The rates fall to 0 over the last third of 120,000 steps.
LADDER: Axes = {
    "model.reconstruction": (5000, 2000, 1000, 500),
    "model.energy_optimiser.lr": tuple(
        f"linear({rate}, 0, 40000, 80000)" for rate in (0.002, 0.001, 0.0005, 0.0002, 0.0001)
    ),
}
# The paper searched the margin's decay and prints only what it found: from 16 to 0 over 60,000
# steps, where the generator stops. This grid around it is ours.
DECAY: Axes = {
    ("model.margin", "model.until"): tuple(
        (f"linear({margin}, 0, {steps})", steps)
        for margin in (4, 8, 16, 32)
        for steps in (30_000, 60_000, 90_000)
    ),
}
LABELS = (100, 200, 1000)

SWEEPS = [
    *(
        Sweep(
            f"ladder-mnist-{labels}",
            f"λ and learning rate of the ladder network from {labels} labels (appendix D)",
            f"ladder-mnist-{labels}",
            LADDER,
        )
        for labels in LABELS
    ),
    *(
        Sweep(
            f"decay-ebgan-ln-mnist-{labels}",
            f"where EBGAN-LN's margin starts and when it reaches 0, from {labels} labels (ours)",
            f"ebgan-ln-mnist-{labels}",
            DECAY,
        )
        for labels in LABELS
    ),
]
