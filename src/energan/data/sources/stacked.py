"""Stacked MNIST: three digits as the colours of one picture, 1,000 classes (Metz et al. 2017)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from energan.core import DataError
from energan.data.source import Source
from energan.data.sources.idx import idx_folder
from energan.data.sources.splits import Split

SEED = 0


def stacked_mnist(folder: Path, split: Split = "train") -> Source:
    """uint8 (N, 3, 28, 28) from the IDX files in `folder`, as many as there are digits.

    The label of digits a, b, c is 100a + 10b + c, and its class name those three. Digits are drawn
    with replacement, by numpy's RandomState(0). The last 10,000 pictures of the training part are
    held out; they are made of the 10,000 digits that MNIST's own source holds out, and the others
    of the rest, so that no digit is in both.
    Raises DataError if the labels are missing, or are not those of digits.
    """
    digits = idx_folder(folder, split, "stacked-mnist")
    if digits.labels is None or int(digits.labels.max()) > 9:
        raise DataError(
            f"{folder} does not hold labels from 0 to 9 beside its images: get the four original "
            "IDX files of MNIST"
        )
    assert digits.events is not None
    chosen = _draws(digits.count, digits.held_out)  # (N, 3)
    a, b, c = digits.labels[chosen].unbind(1)
    return replace(
        digits,
        events=digits.events[:, 0][chosen],
        labels=100 * a + 10 * b + c,
        class_names=tuple(f"{label:03d}" for label in range(1000)),
        stacked_digits=True,
    )


def _draws(count: int, held_out: int) -> Tensor:
    """Which digits make each picture, int64 (count, 3): the last `held_out` from the last ones."""
    # RandomState: numpy promises that its streams stay as they are in every later version.
    random = np.random.RandomState(SEED)
    first = random.randint(0, count - held_out, (count - held_out, 3))
    last = random.randint(count - held_out, count, (held_out, 3)) if held_out else first[:0]
    return torch.from_numpy(np.concatenate([first, last]).astype(np.int64))
