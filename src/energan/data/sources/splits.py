"""How sources are split: the names of the parts, the order of the events, how many are held out."""

import re
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from energan.core import NoTestPart
from energan.data.facts import Fact
from energan.io.text import agree, plural, printable

Split = Literal["train", "test"]
SPLITS = {
    "train": ("train", "training"),
    "val": ("validation", "valid", "val", "dev", "eval", "evaluation", "holdout"),
    "test": ("test", "testing"),
}
"""Names, in lower case, of the folders and files of a part, the most likely first."""
_WORDS = {split: "|".join(names) for split, names in SPLITS.items()}
_WORDS["train"] += "|train[-_ ]?val"
_FOLDER = {
    split: re.compile(rf"({words})([-_ ]?(set|data|images|imgs|split|\d{{4}}))?", re.I)
    for split, words in _WORDS.items()
}
_WITHIN = {
    split: re.compile(rf"(?<![a-z])({words})(?![a-z])", re.I) for split, words in _WORDS.items()
}
MOST_HELD_OUT = 10_000
NAMED = 3
"""Number of groups named in a line."""


def split_of(name: str) -> str | None:
    """Which part a folder of that name is, train, val or test: so are train, training_set and
    train2017."""
    return next((split for split, found in _FOLDER.items() if found.fullmatch(name)), None)


def splits_among(names: Sequence[str]) -> dict[str, str]:
    """Which folders of those side by side are parts, and which ones: those that `split_of` knows,
    or else those that are called alike but for that word, as train2017 and val2017 are."""
    if known := {name: split for name in names if (split := split_of(name))}:
        return known
    alike: dict[str, dict[str, str]] = {}
    for name in names:
        for split, word in _WITHIN.items():
            if word.search(name):
                alike.setdefault(word.sub("/", name).lower(), {})[name] = split
    return {
        name: split
        for found in alike.values()
        if {"train"} < {*found.values()}
        for name, split in found.items()
    }


def no_test_part(name: object) -> NoTestPart:
    """To be raised by a source that was asked for the test part that it does not have."""
    return NoTestPart(f"{name} has no test part of its own: use the held-out part")


def held_out(count: int) -> int:
    """How many of `count` training events are held out: a tenth, MOST_HELD_OUT at most."""
    return min(count // 10, MOST_HELD_OUT)


def fixed_order(size: int) -> Tensor:
    """A shuffle of `size` events that never changes, int64 (size,)."""
    # RandomState: numpy promises that its streams stay as they are in every later version.
    return torch.from_numpy(np.random.RandomState(0).permutation(size).astype(np.int64))


def fixed_sample(size: int, most: int) -> Tensor:
    """All of `size` rows, or `most` of them, drawn once and for all, int64, ascending. (Every n-th
    would be all of one class where classes take turns.)"""
    return torch.arange(size) if size <= most else fixed_order(size)[:most].sort().values


def group_order(groups: Tensor) -> Tensor:
    """A shuffle of groups that never changes: a permutation of their events, of which `groups`
    (N,) tells the numbers, in which those of a group stand together."""
    names, numbers = groups.unique(return_inverse=True)
    place = fixed_order(len(names)).argsort()
    return place[numbers].argsort(stable=True)


def number_groups(names: Sequence[Hashable], by: str) -> tuple[Tensor, Fact]:
    """The number of each image's group, int64 (N,), and a line about them. names: None of an image
    of which nothing is told, which is a group of its own; by: what tells the others."""
    numbers = torch.empty(len(names), dtype=torch.int64)
    number: dict[Hashable, int] = {}
    for row, name in enumerate(names):
        numbers[row] = number.setdefault(("alone", row) if name is None else (name,), len(number))
    alone = sum(name is None for name in names)
    text = f"{len(number) - alone:,} of {plural(len(names) - alone, 'image')}, by {by}"
    if alone:
        text += f"; {plural(alone, 'image')} without one, each a group of its own"
    return numbers, Fact("groups", text, warning=alone > 0)


def about_both_parts(names: Sequence[Hashable], others: Sequence[Hashable]) -> tuple[Fact, ...]:
    """A warning of groups, by their names, that have images in both the training and the test
    part; None is no group."""
    both = sorted({str(name) for name in {*names} & {*others} if name is not None})
    if not both:
        return ()
    first = ", ".join(map(printable, both[:NAMED])) + (", …" if len(both) > NAMED else "")
    text = (
        f"{len(both):,} ({first}) {agree(len(both), 'have')} images in both the training and the "
        "test part, so scores on the test part look better than they are; move each group to "
        "one part"
    )
    return (Fact("groups", text, warning=True),)
