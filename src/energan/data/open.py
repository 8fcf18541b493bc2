"""Real events by name or by path, with one treatment of crop, size, range, classes and the rest."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import DataError, Domain, NoTestPart
from energan.data.dataset import Augment, DataSet, Source, mean_event, shape_of
from energan.data.images.decoding import prepare_array, size_of
from energan.data.images.encoded import Decoded, Decoding, Encoded
from energan.data.images.store import decoded, placed
from energan.data.pairs import open_pairs
from energan.data.selection import Selection, select
from energan.data.settings import DataSettings
from energan.data.sources.detect import open_source
from energan.data.sources.named import NAMED, default_crop
from energan.data.sources.splits import Split
from energan.data.sources.tag_files import is_tag_file
from energan.data.tagged import open_tags

SOURCES: dict[str, str] = {name: found.about for name, found in NAMED.items()}
"""The names that `data.source` knows, each with a line about it."""


def open_data(settings: DataSettings, split: Split = "train") -> DataSet:
    """The data that `settings` describes, on the CPU, with its held-out part.

    split "test" gives a set's own test part, whole: `limit` and `held_out` concern training.
    Where `settings.direction` is set, the data is a PairSet; of a .npz with features and tags it is
    a TagSet.
    Raises DataError for a source that is unknown or unreadable, and settings that do not fit it.
    """
    if is_tag_file(settings.source):
        return open_tags(settings, split)
    if settings.direction is not None:
        return open_pairs(settings, split)
    if settings.storage == "stream":
        from energan.data.streaming import open_stream

        return open_stream(settings, split)
    source = open_source(settings, split)
    chosen = select(source, settings, split)
    if isinstance(source, Encoded):
        found = _decoded(source, settings, chosen)
        if settings.pad is not None:
            if found.path is not None:
                raise DataError(
                    f"data.pad: {source.name} lies in a cache on disk; set data.size instead"
                )
            found = replace(found, events=_padded(found.events, settings, source.name, 0.0))
    else:
        _check_points(source, settings)
        found = _prepared(source, settings, chosen)
    return _data_set(source, settings, split, chosen, found)


def open_test_part(settings: DataSettings) -> DataSet | None:
    """The test part of that data; None if the source has none.

    Raises DataError for one that is there and cannot be read, or does not fit the settings.
    """
    try:
        return open_data(settings, "test")
    except NoTestPart:
        return None


def _decoded(source: Encoded, settings: DataSettings, chosen: Selection) -> Decoded:
    how = settings.decoding
    if how.crop is None and source.name in NAMED and NAMED[source.name].crops:
        how = replace(how, crop=_default_crop(source))
    rows = torch.cat([chosen.training, chosen.held_out]).sort().values
    assert settings.storage != "stream"
    return decoded(source, how, rows, storage=settings.storage)


def _default_crop(source: Encoded) -> tuple[int, int, int, int] | None:
    sizes = (size_of(raw) for raw in source.parts[0].read() if raw)
    first = next((size for size in sizes if size is not None), None)
    return None if first is None else default_crop(source.name, first)


def _prepared(source: Source, settings: DataSettings, chosen: Selection) -> Decoded:
    """Arrays after crop, size, channels, range and padding; as they stand if nothing is asked."""
    events, how = source.events, settings.decoding
    rows = torch.arange(len(events))
    if events.dim() == 4 and how != Decoding() and not _is_done(events, how):
        events = _as_bytes(events, source)
        rows = torch.cat([chosen.training, chosen.held_out]).sort().values
        events = torch.from_numpy(prepare_array(events[rows].numpy(), how, source.name))
    border = 0.0
    if events.dim() == 4 and events.dtype != torch.uint8:
        low, high = _range(settings)
        assert source.low is not None
        assert source.high is not None
        if (source.low, source.high) != (low, high):
            scale = (high - low) / (source.high - source.low)
            events = (events - source.low).mul_(scale).add_(low)
        border = low
    if events.dim() == 4:
        events = _padded(events, settings, source.name, border)
    return Decoded(events, rows)


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
    as_asked = how.channels == "auto" or (how.channels == "grey") == (channels == 1)
    return (
        as_asked and how.crop is None and how.size in (None, height) and how.size in (None, width)
    )


def _check_points(source: Source, settings: DataSettings) -> None:
    if source.events.dim() == 4:
        return
    for name in ("crop", "size", "pad", "random_crop", "mirror"):
        if getattr(settings, name):
            raise DataError(
                f"{source.name} holds points, not images: leave data.{name} unset, or set what a "
                "recipe sets to None"
            )


def _padded(events: Tensor, settings: DataSettings, name: str, border: float) -> Tensor:
    if settings.pad is None:
        return events
    height, width = events.shape[-2:]
    if height != width:
        raise DataError(f"{name} has images of {height}x{width}: data.pad is for square ones")
    if settings.pad < height:
        raise DataError(
            f"{name} has images of {height}x{width}: data.pad {settings.pad} would cut them; use "
            f"at least {height}"
        )
    if settings.pad == height:
        return events
    before, odd = divmod(settings.pad - height, 2)
    after = before + odd  # an odd pixel goes to the right and the bottom
    return F.pad(events, (before, after, before, after), value=border)


def _range(settings: DataSettings) -> tuple[float, float]:
    return (-1.0 if settings.range == "signed" else 0.0), 1.0


def _data_set(
    source: Source | Encoded,
    settings: DataSettings,
    split: Split,
    chosen: Selection,
    found: Decoded,
) -> DataSet:
    events = found.events
    augment = Augment(settings.random_crop, settings.mirror)
    shape = shape_of(source.name, tuple(events.shape[1:]), augment)
    low, high = _range(settings) if events.dim() == 4 else (None, None)
    classes = None
    if chosen.labels is not None:
        classes = len(chosen.class_names or ()) or int(chosen.labels.max()) + 1
    domain = Domain(shape, low, high, classes)

    modes = getattr(source, "modes", None)
    if modes is not None and settings.classes and chosen.class_names:
        modes = modes[[int(name) for name in chosen.class_names]]  # label k still means mode k

    def part(rows: Tensor, held_out: DataSet | None = None) -> DataSet:
        rows, places, digest = placed(rows, found)
        attributes = getattr(source, "attributes", None)
        return DataSet(
            source.name, events, domain,
            None if chosen.labels is None else chosen.labels[rows],
            held_out,
            modes, getattr(source, "mode_std", None),
            places, chosen.class_names,
            None if attributes is None else attributes[rows],
            getattr(source, "attribute_names", None),
            augment, found.skipped, digest, found.path,
            None if found.path is None else found.release,
            labelled=settings.labelled,
            stacked_digits=getattr(source, "stacked_digits", False),
        )  # fmt: skip

    whole = part(chosen.training)
    if split == "test":
        # What a model is initialised from is training data, so this domain claims no mean.
        return whole
    if not len(whole):
        raise DataError(f"{source.name} has no image left to train on: lower data.held_out")
    domain = replace(domain, mean=mean_event(whole))
    kept = part(chosen.held_out)
    return replace(
        whole, domain=domain, held_out=replace(kept, domain=domain) if len(kept) else None
    )
