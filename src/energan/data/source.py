"""What a source holds, before the settings are applied: arrays, or images still encoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray
from torch import Tensor

from energan.data.facts import Fact

MOST_CLASSES = 100_000
Half = Literal[0, 1]
"""Left, or right."""


@dataclass(frozen=True)
class Piece:
    """One of the images of a file that holds several.

    raw: the file's bytes, or the image itself, (H, W, C), where its file was read in part.
    page: counted from 0; None for the first one, of a file that is taken for one image. half: 0 for
        the left, 1 for the right half of the upright image; the middle column of an odd width
        belongs to neither.
    """

    raw: bytes | NDArray[Any]
    page: int | None = None
    half: Half | None = None


Encoded = bytes | Piece


def piece_of(encoded: Encoded) -> Piece:
    """The same as a piece, be it the whole."""
    return Piece(encoded) if isinstance(encoded, bytes) else encoded


@dataclass(frozen=True)
class Part:
    """A run of consecutive images that are read together: a row group, or a few hundred files.

    start, count: rows [start, start + count) of the source.
    read: the encoded images of these rows, in order; None where one cannot be read at all.
    """

    start: int
    count: int
    read: Callable[[], Sequence[Encoded | None]] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Source:
    """All that a source holds, either as `events` or, before anything is decoded, as `parts`.

    events: images (N, C, H, W), of any number type, or float32 points (N, D).
    labels: int64 (N,) in [0, classes), -1 where there is none, or None; class_names name them, in
        order, where names are known.
    held_out: how many are kept from training unless the user says otherwise.
    order: a permutation (N,) to read the events in; None reads them as they stand. The last events
        in that order are the ones held out.
    attributes: uint8 (N, A) of 0 and 1, or None; attribute_names name the columns.
    low, high: the range float images came in, where it is one of those that networks know; None
        for other images and for points.
    modes, mode_std: the centres (K, D) and the standard deviation around each, of toys that have
        them.
    stacked_digits: whether each image is three digits a, b, c as its colours, of the class
        100a + 10b + c.
    parts: encoded images; they cover the rows 0 to count without gaps. Their `read` may be called
        from several threads.
    where: row -> the path of its file, or "train.parquet row 7", for messages.
    base: the folder that these paths start from, of image files.
    masks: the mask of each image, None where it has none; None where there are no masks.
    content: the sha256 (hex) of what the images' files hold, by which a cache is keyed; it may take
        a while, and is asked for only where a cache is used.
    groups: int64 (N,): rows of one number stand together in `order`, and are held out together;
        None where each is for itself.
    facts: what was understood of the folder or file, and what of it was left out.
    """

    name: str
    events: Tensor | None = None
    labels: Tensor | None = None
    held_out: int = 0
    order: Tensor | None = None
    class_names: tuple[str, ...] | None = None
    attributes: Tensor | None = None
    attribute_names: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    modes: Tensor | None = None
    mode_std: float | None = None
    stacked_digits: bool = False
    parts: tuple[Part, ...] = ()
    where: Callable[[int], str] = field(default=str, repr=False)
    base: Path | None = None
    masks: tuple[Path | None, ...] | None = field(default=None, repr=False)
    content: Callable[[], str] = field(default=str, repr=False)
    groups: Tensor | None = None
    facts: tuple[Fact, ...] = ()

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts) if self.events is None else len(self.events)

    @property
    def holds_images(self) -> bool:
        """Whether it holds images, and not points."""
        return self.events is None or self.events.dim() == 4
