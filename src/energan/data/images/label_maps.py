"""Label maps: images whose values, or whose colours, are numbers of classes."""

import colorsys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from energan.core import DataError, LabelMap
from energan.data.facts import Fact
from energan.data.images.decoder import Block, over_parts, select_parts
from energan.data.images.reading import Colour, read_labels
from energan.data.images.survey import spread
from energan.data.images.values import Unreadable
from energan.data.source import Encoded, Source
from energan.io.text import plural

Asked = Literal["auto", "one-hot", "palette", "image"]
MOST = 64
"""Classes of a label map at most; a map that is detected has only grey values below this."""
VOID = 255
"""Grey value that marks pixels without a class, or between two classes."""
BLENDED = 3
"""Number of values from which a warning about resizing is given; two values are a drawing."""


@dataclass
class Survey:
    """The values of images with the colour of each, up to more than MOST.

    kinds: index, grey and colour, whichever there are. mixed: whether a value has two colours.
    """

    kinds: set[str] = field(default_factory=set)
    colours: dict[int, Colour] = field(default_factory=dict)
    mixed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, raw: Encoded | None) -> None:
        """Count an image; one that cannot be read counts for nothing."""
        if raw is None or len(self.colours) > MOST:
            return
        try:
            image = read_labels(raw)
        except Unreadable:
            return
        with self._lock:
            self.kinds.add(image.kind)
            for value in np.unique(image.values.pixels)[: MOST + 1].tolist():
                colour = image.colour_of(value)
                self.mixed |= self.colours.setdefault(value, colour) != colour

    @property
    def few(self) -> bool:
        """Whether the values are few, and mean the same in all images."""
        return 0 < len(self.colours) <= MOST and not self.mixed

    @property
    def are_numbers(self) -> bool:
        """Whether nobody would take the images for pictures: indices of one palette, or greys of
        which every other from 0 up to the greatest, below MOST, is there, and perhaps VOID."""
        if not self.few or len(self.colours) < 2:
            return False
        numbers = self.colours.keys() - {VOID}
        most = max(numbers)
        dense = len(numbers) > 1 and most < MOST and 2 * len(numbers) > most
        return self.kinds == {"index"} or (self.kinds == {"grey"} and dense)

    @property
    def told(self) -> str:
        """The values in a few words."""
        found = sorted(self.colours)
        if self.kinds == {"colour"}:
            return plural(len(found), "colour")
        if found == list(range(found[0], found[-1] + 1)):
            return f"values {found[0]} to {found[-1]}"
        return f"{plural(len(found), 'value')} from {found[0]} to {found[-1]}"


def resolve_labels(
    source: Source, asked: Asked, values: Sequence[int], *, resized: bool
) -> tuple[LabelMap | None, tuple[Fact, ...]]:
    """What the sources of pairs mean as label maps, None if they are pictures; and what the user is
    to know of it.

    values: of the classes, where they are known. resized: whether the images are.
    Raises DataError if label maps were asked for and the images are none.
    """
    found = _some(source)
    if asked == "image" or (asked == "auto" and not found.are_numbers):
        return None, _blended(found, "sources", resized)
    if not values:
        found = _whole(source)
    if asked == "auto" and not found.are_numbers:
        return None, _blended(found, "sources", resized)
    if not values and not found.few:
        why = "a value has several colours" if found.mixed else f"they hold more than {MOST} values"
        raise DataError(
            f"{source.name}: the sources are not label maps ({why}): set --data.label-maps image"
        )
    classes, one_hot = tuple(values) or tuple(sorted(found.colours)), asked != "palette"
    own = {} if found.kinds == {"grey"} else found.colours
    colours = tuple(own.get(value, _colour(k)) for k, value in enumerate(classes))
    how = "one-hot" if one_hot else "in colours"
    text = (
        f"the sources are label maps of {plural(len(classes), 'class')} ({found.told}), read "
        f"{how} and resized by nearest neighbour; to read them as pictures: --data.label-maps "
        "image"
    )
    return LabelMap(classes, colours, one_hot), (Fact("label maps", text),)


def about_targets(source: Source, *, resized: bool) -> tuple[Fact, ...]:
    """A warning if the targets of pairs are label maps, since they are taken as pictures."""
    found = _some(source)
    if found.are_numbers and found.kinds == {"grey"}:
        text = (
            f"the targets hold only {found.told} and are almost black as pictures: save label "
            "maps in colours if they are the targets"
        )
        return (Fact("label maps", text, warning=True),)
    return _blended(found, "targets", resized)


def _blended(found: Survey, side: str, resized: bool) -> tuple[Fact, ...]:
    """A warning if few values become many."""
    if not resized or not found.few or len(found.colours) < BLENDED:
        return ()
    what = "colours" if found.kinds & {"colour", "index"} else "greys"
    own = {
        "sources": "--data.label-maps palette keeps them",
        "targets": "resize them by nearest neighbour beforehand",
    }
    text = (
        f"the {side} hold only {len(found.colours)} {what}, which resizing blends into many: "
        f"{own[side]}"
    )
    return (Fact("label maps", text, warning=True),)


def _colour(number: int) -> Colour:
    """Of a class without a colour of its own: black of the first, each unlike those before."""
    if not number:
        return 0, 0, 0
    hue, light = number * 0.618034 % 1, (0.95, 0.7)[number % 2]
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, light)
    return round(255 * red), round(255 * green), round(255 * blue)


# --- looking at images ----------------------------------------------------------------------------


def _some(source: Source) -> Survey:
    """Of images spread over the source."""
    found = Survey()
    for raw in spread(source.parts):
        found.look(raw)
    return found


def _whole(source: Source) -> Survey:
    """Of all images of the source, or until there are more values than MOST."""
    found = Survey()

    def look_at(block: Block) -> None:
        for _, raw in block:
            found.look(raw)

    parts = list(select_parts(source, torch.arange(source.count)))
    over_parts(f"label maps of {source.name}", parts, look_at, lambda part, rows, made: None)
    return found
