"""What the images of a source are, before they are decoded: kinds, channels, depth and range.

A few headers tell 8-bit images. Those of other types are all read once, so that one range holds for
the whole set.
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energan.core import DataError
from energan.data.facts import Fact
from energan.data.images.checksums import cache_folder
from energan.data.images.decoder import Block, over_parts, select_parts
from energan.data.images.decoding import LEVELS, Channels, Decoding, Depth, Window, has_range
from energan.data.images.reading import Header, header_of, read_image
from energan.data.images.values import Array, RawImage, Unreadable
from energan.data.source import Encoded, Part, Source
from energan.io.files import write_atomically
from energan.io.text import plural

LOOKED_AT = 64
"""Number of images of a source that are read to find out what they are."""
PARTS = 8
"""Parts of the source that they are taken from."""
LITTLE = 8
"""If images use less than one part in so many of their range, this is reported."""
BULK, DRAWN = (0.01, 0.99), 64
"""Quantiles between which most values lie, estimated from so many values per image."""


@dataclass(frozen=True)
class Measured:
    """The values of all images: least and greatest, how many images there are of each type, and
    between which values most lie."""

    low: float
    high: float
    types: dict[str, int] = field(default_factory=dict)
    bulk: Window | None = None

    @property
    def unbounded(self) -> int:
        """How many are of types that tell no range."""
        return sum(n for name, n in self.types.items() if not has_range(_type(name)))

    @property
    def count(self) -> int:
        return sum(self.types.values())


def spread(all_parts: Sequence[Part]) -> Iterator[Encoded]:
    """Images spread over the parts."""
    # Parts are read whole: a few of them, and some images of each.
    wanted = max([PARTS, *(LOOKED_AT // part.count for part in all_parts[:1])])
    parts = all_parts[:: max(1, len(all_parts) // wanted)]
    for part in parts:
        raws = part.read()
        yield from filter(None, raws[:: max(1, len(raws) * len(parts) // LOOKED_AT)])


def look(parts: Sequence[Part]) -> Iterator[Header]:
    """Headers of images spread over the parts; those that can be read."""
    yield from filter(None, map(header_of, spread(parts)))


def resolve_channels(source: Source, how: Decoding) -> Decoding:
    """`how` with channels "auto" replaced by what the images are.

    Images spread over the source are looked at; one with colour makes it colour.
    """
    return resolve_headers(list(look(source.parts)), how) if how.channels == "auto" else how


def resolve_headers(headers: list[Header], how: Decoding) -> Decoding:
    """The same by some images' headers."""
    if how.channels != "auto":
        return how
    bands = {header.bands for header in headers}
    kind: Channels = "all" if bands - {1, 3} else "colour" if 3 in bands else "grey"
    return replace(how, channels=kind)


def resolve(
    source: Source,
    how: Decoding,
    rows: Tensor,
    scale_of: Callable[[], Source] | None = None,
    *,
    measure_range: bool = True,
    remember: bool = False,
) -> tuple[Decoding, tuple[Fact, ...]]:
    """`how` with the channels that the images have, and the range and depth that they are stored
    with; and what the user is to know of these.

    rows: that are wanted. scale_of: gives the source by whose range floats are scaled, where it is
    another one: that of a test part is its training part. measure_range: whether images of more
    than 8 bits give the set a range; if not, each is made 8 bits, if its type tells how. remember:
    keep what was measured in the cache.
    Raises DataError for images that have no range together.
    """
    if not measure_range and how.depth == "uint8" and how.label_map is None:
        return resolve_channels(source, how), ()
    how, found = resolve_kind(source, how, rows, remember=remember)
    if found is None or not found.count:  # that none can be read whoever decodes them says
        return how, ()
    return resolve_range(source.name, found, how, lambda: range_of(scale_of))


def resolve_kind(
    source: Source, how: Decoding, rows: Tensor, *, remember: bool = False
) -> tuple[Decoding, Measured | None]:
    """`how` with the channels that the images have, and their values; None if they have 8 bits, or
    `how` is resolved already."""
    if how.depth != "uint8" or how.label_map is not None:
        return how, None
    wanted = [part for part, _ in select_parts(source, rows)]
    headers = list(look(source.parts if how.channels == "auto" else wanted))
    deep = any(header.deep for header in headers)
    return resolve_headers(headers, how), _measured(source, remember) if deep else None


def range_of(scale_of: Callable[[], Source] | None) -> Window | None:
    """The range of the floats of another source, where these are scaled by it."""
    if scale_of is None:
        return None
    other = scale_of()
    if other.events is None and not any(header.deep for header in look(other.parts)):
        return None
    found = _measured(other, remember=False)
    return (found.low, found.high) if found.unbounded == found.count > 0 else None


def resolve_range(
    name: str, found: Measured, how: Decoding, other: Callable[[], Window | None] = lambda: None
) -> tuple[Decoding, tuple[Fact, ...]]:
    """`how` for images of more than 8 bits of which all values were measured.

    other: the range to scale floats by, if it is not their own. Raises as `resolve` does.
    """
    unbounded = found.unbounded
    told = f"{', '.join(sorted(found.types))} values from {found.low:g} to {found.high:g}"
    if how.intensity is not None:
        low, high = how.intensity
        text = f"{told}; {low:g} to {high:g} become the range"
        dark = "uint8" in found.types and len(found.types) > 1 and high - low > LITTLE * 255
        if dark:
            count = plural(found.types["uint8"], "image")
            text += (
                f" of all types: the {count} of uint8 will be almost black; keep images of one type"
            )
        facts = (Fact("intensity", text, warning=dark),)
        return replace(how, depth=_depth(found, how.intensity)), facts
    if 0 < unbounded < found.count:
        raise DataError(
            f"{name} holds {plural(found.count, 'image')} of {', '.join(sorted(found.types))}, "
            f"which have no common range: set --data.intensity {_fitting(found)} if a value "
            "means the same in all of them, or keep images of one type"
        )
    if found.low < 0 and not _floats(found):
        raise DataError(
            f"{name} holds {told}, and the range has no place for values below 0: set "
            f"--data.intensity {_fitting(found)}, or the part of it that matters"
        )
    if not unbounded:
        return replace(how, depth="uint16"), _about_types(found, told)
    window = other()
    if window is not None:
        text = f"{told}; scaled as the training part, from {window[0]:g} to {window[1]:g}"
        how = replace(how, intensity=window, depth=_depth(found, window))
        return how, (Fact("intensity", text),)
    if not found.low < found.high:
        raise DataError(
            f"all images of {name} hold only the value {found.low:g}: set --data.intensity LOW HIGH"
        )
    text = f"{told}, the range measured over {plural(found.count, 'image')}"
    window = found.low, found.high
    how = replace(how, intensity=window, depth=_depth(found, window))
    return how, (Fact("intensity", text), *_about_outliers(found, found.high - found.low))


def _type(kind: str) -> np.dtype[Any]:
    """Of a `RawImage.kind`."""
    return np.dtype(kind.split()[-1])


def _greatest(kind: str) -> int:
    bits, apart, _ = kind.partition("-bit ")
    return 2 ** int(bits) - 1 if apart else int(np.iinfo(kind).max)


def _floats(found: Measured) -> bool:
    return any(_type(name).kind == "f" for name in found.types)


def _depth(found: Measured, window: Window) -> Depth:
    """The smallest type that keeps all values of the window apart."""
    return "float32" if _floats(found) or window[1] - window[0] > LEVELS["uint16"] else "uint16"


def _about_types(found: Measured, told: str) -> tuple[Fact, ...]:
    """How integers are scaled: by the range of their types."""
    most = {name: _greatest(name) for name in sorted(found.types)}
    ends = " and ".join(f"0 to {high:,} of {name}" for name, high in most.items())
    share = (found.high - found.low) / max(most.values())
    if share * LITTLE >= 1:
        outliers = _about_outliers(found, max(most.values()))
        return (Fact("intensity", f"{told}; {ends} become the range"), *outliers)
    remedy = f"unless you spread them with --data.intensity {_fitting(found)}"
    if len(most) > 1:  # which would make those of the smaller type black
        remedy = "if their type is larger than 8 bits: keep images of one type"
    text = f"{told} use {share:.2%} of the range, {ends}: images will look almost uniform {remedy}"
    return (Fact("intensity", text, warning=True),)


def _about_outliers(found: Measured, width: float) -> tuple[Fact, ...]:
    """A few values far from the others (a hot pixel, a number that stands for "no data") that take
    most of a range of that width."""
    if found.bulk is None:
        return ()
    low, high = found.bulk
    if (high - low) * LITTLE >= width:
        return ()
    text = (
        f"98% of all values are between {low:g} and {high:g}, {(high - low) / width:.2%} of the "
        "range: images will look almost uniform unless you set --data.intensity LOW HIGH, which "
        "spreads the values that matter and clips the others"
    )
    return (Fact("intensity", text, warning=True),)


def _fitting(found: Measured) -> str:
    """The window that fits: of integers from near 0 that of so many bits."""
    if not _floats(found) and (0 <= found.low <= found.high / 2 or found.low == found.high):
        return f"0 {2 ** max(1, int(found.high).bit_length()) - 1}"
    return f"{found.low:g} {found.high:g}"


# --- measuring ------------------------------------------------------------------------------------


def _measured(source: Source, remember: bool) -> Measured:
    """Of all images of the source; kept in the cache, which is asked first, to `remember` it."""
    if source.events is not None:
        return measure_array(source.events)
    if not remember:
        return measure(source)
    path = cache_folder() / "measured" / f"{hashlib.sha256(source.content().encode()).hexdigest()}"
    try:
        return Measured(**json.loads(path.read_text(encoding="utf8")))
    except (OSError, ValueError, TypeError):
        found = measure(source)
        write_atomically(path, json.dumps(asdict(found)))
        return found


def measure_array(events: Tensor) -> Measured:
    """Of images that are an array already."""
    values = events.numpy()
    drawn = values.reshape(-1)[:: max(1, values.size // (DRAWN * len(values)))]
    types = {values.dtype.name: len(values)}
    return Measured(float(values.min()), float(values.max()), types, _bulk([drawn]))


def _bulk(drawn: Sequence[Array]) -> Window:
    low, high = np.quantile(np.concatenate(drawn), BULK).tolist()
    return low, high


def measure(source: Source) -> Measured:
    """Read all images; those that cannot be read, or hold what is not finite, count for nothing."""
    low, high = np.inf, -np.inf
    types: Counter[str] = Counter()
    drawn: list[Array] = []
    lock = threading.Lock()

    def look_at(block: Block) -> None:
        nonlocal low, high
        for _, raw in block:
            try:
                found = read_image(raw) if raw is not None else RawImage(np.zeros((0, 0, 1)))
            except Unreadable:
                continue
            pixels = found.pixels
            if not pixels.size or not np.isfinite(pixels).all():
                continue
            with lock:
                low, high = min(low, float(pixels.min())), max(high, float(pixels.max()))
                types[found.kind] += 1
                drawn.append(_spread_over(pixels))

    rows = torch.arange(source.count)
    parts = list(select_parts(source, rows))
    over_parts(f"measuring {source.name}", parts, look_at, lambda part, rows, made: None)
    if not types:
        return Measured(0.0, 0.0)
    return Measured(low, high, dict(types), _bulk(drawn))


def _spread_over(pixels: Array) -> Array:
    """DRAWN of the values of an image (H, W, C), spread over it, float32."""
    places = np.random.default_rng(0).integers(0, pixels.size, DRAWN)
    return pixels.reshape(-1)[places].astype(np.float32)
