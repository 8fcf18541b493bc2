"""How the two sides of pairs are decoded: each in its own channels and depth, by one window."""

from collections.abc import Callable
from dataclasses import replace

import torch

from energan.core import DataError, LabelMap
from energan.data.facts import Fact
from energan.data.images.decoding import Decoding
from energan.data.images.survey import resolve
from energan.data.source import Source

Sides = tuple[Source, Source]


def resolve_sides(
    sides: Sides,
    how: Decoding,
    scale_of: Callable[[], Sides] | None = None,
    labels: LabelMap | None = None,
) -> tuple[tuple[Decoding, Decoding], tuple[Fact, ...]]:
    """`how` for sources and for targets, as `resolve` gives it for each of the two.

    A window (data.intensity, or what was measured) holds for both, but for a side of 8 bits beside
    a deeper one, which has its own range. scale_of: gives the sides by which floats are scaled, of
    a test part. labels: what sources mean that are label maps. Raises DataError for sides that have
    no window together.
    """
    found, facts = [], []
    for number, side in enumerate(sides):
        other = None if scale_of is None else _side_of(scale_of, number)
        asked = how if number else replace(how, label_map=labels)
        own, told = resolve(side, asked, torch.arange(side.count), other)
        found.append(own)
        name = ("sources", "targets")[number]
        facts += [replace(fact, subject=f"{fact.subject} of {name}") for fact in told]
    deep = [own.depth != "uint8" for own in found]
    if any(deep) and not all(deep):
        found = [own if is_deep else replace(own, intensity=None)
                 for own, is_deep in zip(found, deep, strict=True)]  # fmt: skip
    elif all(deep) and how.intensity is None:
        windows = [own.intensity for own in found if own.intensity is not None]
        if len(windows) == 1:
            raise DataError(
                f"{sides[0].name}: of one side of the pairs the range was measured, of the other "
                "its type tells it: set --data.intensity, which holds for both"
            )
        if windows:
            both = min(low for low, _ in windows), max(high for _, high in windows)
            found = [replace(own, intensity=both) for own in found]
            facts.append(Fact("intensity", f"both sides by {both[0]:g} to {both[1]:g}"))
    sources, targets = found
    return (sources, targets), tuple(facts)


def _side_of(scale_of: Callable[[], Sides], number: int) -> Callable[[], Source]:
    return lambda: scale_of()[number]
