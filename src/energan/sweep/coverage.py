"""Does the pulling-away term help a generator to reach more of the data? Counted where it can be.

Stacked MNIST has 1,000 classes, as many as three digits make, in equal shares; a classifier of
single digits tells which of them samples are of (Metz et al. 2017). The paper has no such
experiment: the grid is ours.
"""

from energan.sweep.grid import Sweep
from energan.sweep.zhao2017 import QUIET

SWEEPS = [
    Sweep(
        "stacked-coverage",
        "EBGAN, and EBGAN-PT by the term's weight: how many of 1,000 classes they reach (ours)",
        "ebgan-stacked",
        {"model.pull_away": (0, 0.01, 0.03, 0.1, 0.3, 1), "seed": (0, 1, 2, 3, 4)},
        base=QUIET,
        metrics=("class_coverage", "class_kl"),
    ),
]
