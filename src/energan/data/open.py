"""Real events by name or by path, with one treatment of crop, size, range, classes and the rest."""

from dataclasses import replace

import torch
from torch import Tensor

from energan.core import DataError, Domain, NoTestPart
from energan.data.dataset import DataSet, describe_windows, mean_event, shape_of
from energan.data.facts import Fact
from energan.data.images.decoded import Decoded
from energan.data.pairs import open_pairs
from energan.data.preparation import pad, prepare
from energan.data.selection import Selection, groups_of, select
from energan.data.settings import DataSettings
from energan.data.source import Source
from energan.data.sources.detect import open_source
from energan.data.sources.named import NAMED
from energan.data.sources.splits import Split
from energan.data.sources.tag_files import is_tag_file
from energan.data.streaming import open_stream
from energan.data.tagged import open_tags
from energan.io.text import plural

SOURCES: dict[str, str] = {name: found.about for name, found in NAMED.items()}
"""The names that `data.source` accepts, with a line about each."""


def open_data(settings: DataSettings, split: Split = "train") -> DataSet:
    """Open the data that settings describe, on the CPU, with its held-out part.

    Args:
        settings: the source, and how its examples are prepared.
        split: "train", or "test" for the whole test part of the source; `limit` and `held_out`
            apply to training only.

    Returns:
        The data set; a PairSet if `settings.direction` is set, a TagSet for a .npz of features
        and tags.

    Raises:
        DataError: if the source is unknown or cannot be read, or a setting does not fit it.
        NoTestPart: for split "test", if the source has no test part.
    """
    if is_tag_file(settings.source):
        return open_tags(settings, split)
    if settings.direction is not None:
        return open_pairs(settings, split)
    if settings.storage == "stream":
        return open_stream(settings, split)
    source = open_source(settings, split)
    chosen = select(source, settings, split)
    rows = torch.cat([chosen.training, chosen.held_out]).sort().values
    scale_of = (lambda: open_source(settings, "train")) if split == "test" else None
    found = prepare(source, settings, rows, scale_of)
    _check_pad(found, settings, source.name)
    found = replace(found, events=pad(found.events, settings))
    return _data_set(source, settings, split, chosen, found)


def open_test_part(settings: DataSettings) -> DataSet | None:
    """Open the test part of the data; None if the source has none.

    Raises:
        DataError: if it cannot be read, or a setting does not fit it.
    """
    try:
        return open_data(settings, "test")
    except NoTestPart:
        return None


def _check_pad(found: Decoded, settings: DataSettings, name: str) -> None:
    if settings.pad is None or found.events.dim() != 4:
        return
    if found.path is not None:
        raise DataError(
            f"data.pad: {name} is in a cache on disk, which cannot be padded; set data.size instead"
        )
    height, width = found.events.shape[-2:]
    if height != width:
        raise DataError(f"{name} has images of {height}x{width}: data.pad is for square ones")
    if settings.pad < height:
        raise DataError(
            f"{name} has images of {height}x{width}, which data.pad {settings.pad} would cut: "
            f"use at least {height}"
        )


def _about_bands(name: str, shape: tuple[int, ...], settings: DataSettings) -> tuple[Fact, ...]:
    """Which bands pictures show, of images that have more than a picture. Raises DataError for
    bands that are not there."""
    if len(shape) != 3:
        return ()
    bands, shown = shape[0], settings.show_bands
    if max(shown or (), default=0) > bands:
        raise DataError(
            f"data.show_bands names band {max(shown or ())}, and the images of {name} have {bands}"
        )
    if bands in (1, 3):
        return ()
    first = shown or ((1, 2, 3) if bands > 3 else (1,))
    text = f"{bands} per image; pictures show {', '.join(map(str, first))} (--data.show-bands)"
    return (Fact("bands", text),)


def _about_groups(source: Source, settings: DataSettings, chosen: Selection) -> tuple[Fact, ...]:
    """How many groups are on each side."""
    if settings.groups is None or source.groups is None:
        return ()
    counts = [len(source.groups[part].unique()) for part in (chosen.training, chosen.held_out)]
    text = f"{counts[0]:,} for training, {counts[1]:,} held out"
    return (Fact("groups", f"{text} ({plural(len(chosen.held_out), 'image')})"),)


def _about_unlabelled(source: Source, settings: DataSettings) -> tuple[Fact, ...]:
    """How many are left out since they have no label."""
    without = 0 if source.labels is None else int((source.labels < 0).sum())
    if settings.unlabelled or not without:
        return ()
    return (Fact("unlabelled", f"{plural(without, 'image')} left out (--data.unlabelled)"),)


def _data_set(
    source: Source,
    settings: DataSettings,
    split: Split,
    chosen: Selection,
    found: Decoded,
) -> DataSet:
    augment = settings.augment
    shape = shape_of(source.name, tuple(found.events.shape[1:]), settings)
    image_shape, tiles = describe_windows(shape, tuple(found.events.shape[1:]), settings)
    bands = _about_bands(source.name, shape, settings)
    split_facts = _about_groups(source, settings, chosen) if split == "train" else ()
    split_facts += _about_unlabelled(source, settings)
    low, high = settings.bounds if source.holds_images else (None, None)
    classes = None
    if chosen.labels is not None:
        classes = len(chosen.class_names or ()) or int(chosen.labels.max()) + 1
    domain = Domain(shape, low, high, classes, depth=found.depth, shown=settings.shown,
                    image_shape=image_shape)  # fmt: skip
    modes = source.modes
    if modes is not None and settings.classes and chosen.class_names:
        modes = modes[[int(name) for name in chosen.class_names]]  # label k still means mode k

    def part(rows: Tensor) -> DataSet:
        rows, places, digest = found.place(rows)
        return DataSet(
            source.name, found.events, domain,
            labels=None if chosen.labels is None else chosen.labels[rows],
            modes=modes, mode_std=source.mode_std,
            rows=places, class_names=chosen.class_names,
            attributes=None if source.attributes is None else source.attributes[rows],
            attribute_names=source.attribute_names,
            augment=augment, skipped=found.skipped, digest=digest, path=found.path,
            release=found.release, labelled=settings.labelled,
            stacked_digits=source.stacked_digits,
            facts=source.facts + split_facts + found.facts + bands + tiles,
            intensity=found.intensity, groups=groups_of(source, settings, rows),
        )  # fmt: skip

    whole = part(chosen.training)
    if split == "test":
        # What a model is initialised from is training data, so this domain claims no mean.
        return whole
    if not len(whole):
        raise DataError(f"{source.name} has no images left to train on: lower data.held_out")
    domain = replace(domain, mean=mean_event(whole))
    kept = part(chosen.held_out)
    return replace(
        whole, domain=domain, held_out=replace(kept, domain=domain) if len(kept) else None
    )
