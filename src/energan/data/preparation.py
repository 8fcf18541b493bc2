"""From what a source holds to events as a network takes them: crop, size, channels, range, border.

Training data, and the images that a trained run is asked about, go through the same functions.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import DataError
from energan.data.facts import Fact
from energan.data.images.decoded import Decoded
from energan.data.images.decoding import Decoding, Notes, prepare_array, width_and_height
from energan.data.images.notes import facts_of
from energan.data.images.reading import size_of
from energan.data.images.store import decode_source
from energan.data.images.survey import measure_array, range_of, resolve_range
from energan.data.settings import DataSettings
from energan.data.source import Source
from energan.data.sources.named import NAMED


def prepare(
    source: Source,
    settings: DataSettings,
    rows: Tensor,
    scale_of: Callable[[], Source] | None = None,
    *,
    measure: bool = True,
) -> Decoded:
    """The events of `source` at `rows` (int64, ascending), without a border yet.

    Arrays for which nothing is to be done stay whole, whatever the rows. scale_of: gives the source
    by whose range floats are scaled, if it is another one. measure: whether files of more than 8
    bits may have a range of their own. Raises DataError for images that cannot be read, and
    settings that do not fit.
    """
    if source.events is not None:
        return _prepare_arrays(source, source.events, settings, rows, scale_of)
    how = decoding_of(source, settings)
    assert settings.storage != "stream"
    return decode_source(
        source, how, rows, storage=settings.storage, scale_of=scale_of, measure=measure
    )


def decoding_of(source: Source, settings: DataSettings) -> Decoding:
    """How the files of a source are decoded: with the box that is cut out of a named set's images
    unless the user names one."""
    how = settings.decoding
    crop = _default_crop(source) if how.crop is None and source.events is None else how.crop
    return replace(how, crop=crop)


def image_size(source: Source) -> tuple[int, int] | None:
    """Width and height of the first image that can be read."""
    if source.events is not None:
        return source.events.shape[3], source.events.shape[2]
    sizes = (size_of(raw) for raw in source.parts[0].read() if raw)
    return next((size for size in sizes if size is not None), None)


def pad(events: Tensor, settings: DataSettings) -> Tensor:
    """Square images with a border of the lowest value up to `data.pad` pixels a side.

    Others, and larger ones, stay as they are.
    """
    if settings.pad is None or events.dim() != 4:
        return events
    height, width = events.shape[-2:]
    if height != width or height >= settings.pad:
        return events
    before, odd = divmod(settings.pad - height, 2)
    after = before + odd  # an odd pixel goes to the right and the bottom
    border = settings.bounds[0] if events.is_floating_point() else 0.0
    return F.pad(events, (before, after, before, after), value=border)


def _default_crop(source: Source) -> tuple[int, int, int, int] | None:
    """The box that is cut out of a named set's images unless the user names one."""
    found = NAMED.get(source.name)
    size = image_size(source) if found is not None and found.crops else None
    return None if found is None or size is None else dict(found.crops).get(size)


def _prepare_arrays(
    source: Source,
    events: Tensor,
    settings: DataSettings,
    rows: Tensor,
    scale_of: Callable[[], Source] | None,
) -> Decoded:
    if events.dim() != 4:
        _check_points(source.name, settings)
        return Decoded(events, torch.arange(len(events)))
    how, known = settings.decoding, events.dtype == torch.uint8 or source.low is not None
    if not known or how.intensity is not None:
        return _scale_arrays(source, events, how, rows, scale_of)
    facts: tuple[Fact, ...] = ()
    if _is_done(events, how):
        rows = torch.arange(len(events))
    else:
        notes, chosen = Notes(), _as_bytes(events, source)[rows]
        events = torch.from_numpy(prepare_array(chosen.numpy(), how, source.name, notes))
        facts = facts_of(notes, how, how, len(rows))
    low, high = settings.bounds
    if events.dtype != torch.uint8 and (source.low, source.high) != (low, high):
        assert source.low is not None
        assert source.high is not None
        scale = (high - low) / (source.high - source.low)
        events = (events - source.low).mul_(scale).add_(low)
    return Decoded(events, rows, facts=facts)


def _scale_arrays(
    source: Source,
    events: Tensor,
    how: Decoding,
    rows: Tensor,
    scale_of: Callable[[], Source] | None,
) -> Decoded:
    """Images of more than 8 bits, or windowed ones."""
    asked = how
    facts: tuple[Fact, ...] = ()
    if events.dtype != torch.uint8:
        found = measure_array(events)
        how, facts = resolve_range(source.name, found, how, lambda: range_of(scale_of))
    notes = Notes()
    made = prepare_array(events[rows].numpy(), how, source.name, notes)
    facts += facts_of(notes, asked, how, len(rows))
    events = torch.from_numpy(made)
    return Decoded(events, rows, facts=facts, intensity=how.intensity, depth=how.bits)


def _as_bytes(events: Tensor, source: Source) -> Tensor:
    """Float images as uint8, as saving them as pictures would: what is resized has 8 bits."""
    if events.dtype == torch.uint8:
        return events
    assert source.low is not None
    assert source.high is not None
    return ((events - source.low) * (255 / (source.high - source.low))).round_().byte()


def _is_done(events: Tensor, how: Decoding) -> bool:
    """Whether the images already are as asked for."""
    channels, height, width = events.shape[1:]
    as_asked = channels == {"grey": 1, "colour": 3}.get(how.channels, channels)
    sized = how.size is None or width_and_height(how.size) == (width, height)
    return as_asked and how.crop is None and sized


def _check_points(name: str, settings: DataSettings) -> None:
    for setting in ("crop", "size", "pad", "random_crop", "tile", "mirror"):
        if getattr(settings, setting):
            raise DataError(
                f"{name} holds points, not images: leave data.{setting} unset (None, if the "
                "recipe sets it)"
            )
