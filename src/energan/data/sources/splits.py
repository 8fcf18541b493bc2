"""How sources are split: the names of the parts, the order of the events, how many are held out."""

import re
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from energan.core import NoTestPart

Split = Literal["train", "test"]
SPLITS = {
    "train": ("train", "training"),
    "val": ("validation", "valid", "val", "dev", "eval", "evaluation", "holdout"),
    "test": ("test", "testing"),
}
"""The names, in lower case, that folders and files of a part have, the likeliest first."""
_FOLDER = {
    split: re.compile(rf"({'|'.join(names)})([-_ ]?(set|data|images|imgs|split|\d{{4}}))?", re.I)
    for split, names in SPLITS.items()
}
MOST_HELD_OUT = 10_000


def split_of(name: str) -> str | None:
    """Which part a folder of that name is, train, val or test: so are train, training_set and
    train2017."""
    return next((split for split, found in _FOLDER.items() if found.fullmatch(name)), None)


def no_test_part(name: object) -> NoTestPart:
    """To be raised by a source that was asked for the test part that it does not have."""
    return NoTestPart(f"{name} has no test set of its own: use the held-out part")


def held_out(count: int) -> int:
    """How many of `count` training events are held out: a tenth, MOST_HELD_OUT at most."""
    return min(count // 10, MOST_HELD_OUT)


def fixed_order(size: int) -> Tensor:
    """A shuffle of `size` events that never changes, int64 (size,)."""
    # RandomState: numpy promises that its streams stay as they are in every later version.
    return torch.from_numpy(np.random.RandomState(0).permutation(size).astype(np.int64))
