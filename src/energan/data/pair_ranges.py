"""How the two sides of pairs are decoded: each in its own channels and depth, by one window."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from energan.core import LabelMap
from energan.data.facts import Fact
from energan.data.images.decoding import Decoding
from energan.data.images.survey import Measured, range_of, resolve_kind, resolve_range
from energan.data.source import Source

Sides = tuple[Source, Source]


def resolve_sides(
    sides: Sides,
    how: Decoding,
    scale_of: Callable[[], Sides] | None = None,
    labels: LabelMap | None = None,
) -> tuple[tuple[Decoding, Decoding], tuple[Fact, ...]]:
    """`how` for sources and for targets, as `resolve` gives it for each of the two.

    A window (data.intensity, or what was measured) is for both sides, but not for one whose type
    tells its range beside one whose type does not, as 8 or 16 bits beside floats. scale_of: gives
    the sides by which floats are scaled, of a test part. labels: what sources mean that are label
    maps.
    """
    asked = replace(how, label_map=labels), how
    kinds = [resolve_kind(side, own, torch.arange(side.count))
             for side, own in zip(sides, asked, strict=True)]  # fmt: skip
    measured = [values for _, values in kinds]
    need = [_need(values) for values in measured]
    found, facts = [], []
    for number, (own, values) in enumerate(kinds):
        if need[number] < max(need):
            own = replace(own, intensity=None)
        if values is not None:
            other = None if scale_of is None else _side_of(scale_of, number)
            window = partial(range_of, other)
            own, told = resolve_range(sides[number].name, values, own, window)
            name = ("sources", "targets")[number]
            facts += [replace(fact, subject=f"{fact.subject} of {name}") for fact in told]
        found.append(own)
    windows = [own.intensity for own in found if own.intensity is not None]
    if how.intensity is None and len(windows) == 2:
        both = min(low for low, _ in windows), max(high for _, high in windows)
        found = [replace(own, intensity=both) for own in found]
        facts.append(Fact("intensity", f"both sides from {both[0]:g} to {both[1]:g}"))
    sources, targets = found
    return (sources, targets), tuple(facts)


def _need(values: Measured | None) -> int:
    """How much images need a window: of 8 bits least, of types that tell no range most."""
    return 0 if values is None else 2 if values.unbounded else 1


def _side_of(scale_of: Callable[[], Sides], number: int) -> Callable[[], Source]:
    return lambda: scale_of()[number]
