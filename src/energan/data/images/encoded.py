"""Images as their files hold them: what folders and tables give, before anything is decoded."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

Channels = Literal["auto", "grey", "colour"]
Fit = Literal["crop", "stretch"]


@dataclass(frozen=True)
class Decoding:
    """How an image becomes uint8 (C, H, W): turned as its EXIF says, then cropped, then resized.

    crop: a box (left, top, right, bottom) in pixels; None for the whole image.
    size: side of the square that it is resized to, antialiased; None leaves its size.
    fit: "crop" scales the shorter side to `size` and cuts the middle, "stretch" scales both.
    channels: "grey" 1, "colour" 3, "auto" whichever the images are.
    """

    crop: tuple[int, int, int, int] | None = None
    size: int | None = None
    fit: Fit = "crop"
    channels: Channels = "auto"


@dataclass(frozen=True)
class Part:
    """A run of consecutive images that are read together: a row group, or a few hundred files.

    start, count: rows [start, start + count) of the source.
    read: the encoded bytes of these rows, in order; None where one cannot be read at all.
    """

    start: int
    count: int
    read: Callable[[], list[bytes | None]] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Encoded:
    """All images that a source holds, with what is known of them without decoding.

    parts: cover the rows 0 to count without gaps. Their `read` may be called from several threads.
    where: row -> its file's path, or "train.parquet row 7", for messages.
    content: the sha256 (hex) of what the images' files hold, by which a cache is keyed; it may take
        a while, and is asked for only where a cache is used.
    labels: int64 (count,), -1 where there is none, or None; class_names name them, in order.
    attributes: uint8 (count, A) of 0 and 1, or None; attribute_names name the columns.
    held_out: how many are kept from training unless the user says otherwise.
    order: a permutation (count,); None reads them as they stand. The last are the ones held out.
    """

    name: str
    count: int
    parts: tuple[Part, ...]
    where: Callable[[int], str]
    content: Callable[[], str]
    labels: Tensor | None = None
    class_names: tuple[str, ...] | None = None
    attributes: Tensor | None = None
    attribute_names: tuple[str, ...] | None = None
    held_out: int = 0
    order: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Decoded:
    """What became of an `Encoded`.

    events: uint8 (S, C, H, W), in memory or mapped from a file; it may have slots without an image.
    rows: int64 (N,), ascending: the row of the source that each image came from.
    slots: int64 (N,), ascending: where in `events` each is; None if N = S.
    skipped: (where, reason) of each image that could not be read.
    digest: sha256 (hex) of the images, one after the other; None if it is not known.
    path: the cache's file, None for memory.
    release: told how many images were read, lets go of the mapped pages now and then, so that
        reading through a large set does not fill memory; does nothing for events in memory.
    """

    events: Tensor
    rows: Tensor
    skipped: tuple[tuple[str, str], ...] = ()
    slots: Tensor | None = None
    digest: str | None = None
    path: Path | None = None
    release: Callable[[int], None] = field(default=lambda count: None, repr=False)
