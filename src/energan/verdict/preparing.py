"""Events of any source, prepared as those that a run was trained on."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import DataError, Domain, describe
from energan.data import SOURCES, DataSet, DataSettings, open_data
from energan.data.dataset import Augment, Source
from energan.data.decoding import size_of
from energan.data.encoded import Encoded
from energan.data.idx import Split
from energan.data.named import Opened, default_crop
from energan.data.opening import open_source
from energan.data.store import decoded


class Unreadable(DataError):
    """A source none of whose images can be read."""


def filled(settings: DataSettings, domain: Domain) -> DataSettings:
    """The settings with channels and size as they turned out for the run's images."""
    size = settings.size
    if size is None:
        if settings.pad is None and settings.random_crop is None:
            height, width = domain.shape[1:]
        else:
            height, width = _native(settings)
        size = height if height == width and height else None
    channels = "grey" if domain.shape[0] == 1 else "colour"
    return settings.model_copy(update={"channels": channels, "size": size})


def _native(settings: DataSettings) -> tuple[int, int]:
    """Height and width of the images trained on, before padding; 0, 0 if they cannot be had."""
    try:
        source = open_source(settings, "train")
    except DataError:
        return 0, 0
    if isinstance(source, Source):
        height, width = source.events.shape[2:]
        return int(height), int(width)
    width, height = _first_size(source) or (0, 0)
    return height, width


def _first_size(source: Encoded) -> tuple[int, int] | None:
    """Width and height of the first image that can be read."""
    sizes = (size_of(raw) for raw in source.parts[0].read() if raw)
    return next((size for size in sizes if size is not None), None)


def pictures(
    source: Encoded, settings: DataSettings, domain: Domain, rows: Tensor
) -> tuple[DataSet, Tensor]:
    """Those of `rows` that can be read, decoded and padded, and which these are."""
    how = settings.decoding
    if how.crop is None and source.name in SOURCES and (first := _first_size(source)):
        how = replace(how, crop=default_crop(source.name, first))
    try:
        found = decoded(source, how, rows)
    except DataError as error:
        if "no image that can be read" in str(error):
            raise Unreadable(str(error)) from None
        raise
    events = found.events
    if settings.pad is not None and events.shape[-1] < settings.pad:
        before, odd = divmod(settings.pad - events.shape[-1], 2)
        events = F.pad(events, (before, before + odd, before, before + odd))
    augment = Augment(settings.random_crop, settings.mirror)
    made = tuple(augment(events[:1], None).shape[1:]) if _holds(events, augment) else ()
    _check_shape(source.name, made or tuple(events.shape[1:]), domain)
    labels = None if source.labels is None else source.labels[found.rows]
    return DataSet(
        source.name, events, _labelled(domain, source), labels, rows=found.slots,
        class_names=source.class_names, augment=augment, skipped=found.skipped,
        digest=found.digest, path=found.path, release=found.release if found.path else None,
    ), found.rows  # fmt: skip


def _holds(events: Tensor, augment: Augment) -> bool:
    """Whether a random crop lies within the images."""
    return augment.random_crop is None or min(events.shape[-2:]) >= augment.random_crop


def arrays(
    source: Source, settings: DataSettings, domain: Domain, rows: Tensor, split: Split
) -> DataSet:
    """Rows of a source of arrays, in the order given."""
    changes = {"limit": None, "held_out": 0, "classes": (), "storage": "auto", "mirror": False}
    whole = open_data(settings.model_copy(update=changes), split)
    _check_shape(source.name, whole.domain.shape, domain)
    place = torch.arange(len(whole))
    if source.order is not None:
        place = torch.empty_like(source.order).scatter_(0, source.order, place)
    place = place[rows]
    return replace(
        whole, domain=_labelled(domain, source), held_out=None, digest=None,
        rows=place if whole.rows is None else whole.rows[place],
        labels=None if whole.labels is None else whole.labels[place],
    )  # fmt: skip


def _labelled(domain: Domain, source: Opened) -> Domain:
    """The run's domain with the number of the source's classes."""
    if source.labels is None:
        return replace(domain, classes=None)
    names = source.class_names
    return replace(domain, classes=len(names) if names else int(source.labels.max()) + 1)


def _check_shape(name: str, shape: tuple[int, ...], domain: Domain) -> None:
    if shape != domain.shape:
        raise DataError(
            f"{describe(name)}: prepared as the run's data were, its events have shape {shape}, "
            f"and the run takes {domain.shape}: bring them to the size of its training data first"
        )
