"""Images that a run is asked about: files, folders and data sources, prepared as its own data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from energan.core import (
    DataError,
    Domain,
    NoReadableImage,
    NoTestPart,
    NothingHeldOut,
    describe,
)
from energan.data.dataset import DataSet
from energan.data.defect_masks import (
    DefectMasks,
    KnownMasks,
    check_masks,
    find_masks,
    index_folder,
)
from energan.data.facts import Fact
from energan.data.images.decoding import Channels
from energan.data.open import SOURCES
from energan.data.originals import OriginalImages
from energan.data.preparation import image_size, pad, prepare
from energan.data.selection import groups_of, select
from energan.data.settings import DataSettings, Layouts
from energan.data.source import Source
from energan.data.sources.containers.pages import with_all_pages
from energan.data.sources.detect import holds_many, open_source
from energan.data.sources.folders.images import from_files
from energan.data.sources.splits import fixed_sample
from energan.io.text import plural, printable

Part = Literal["test", "held-out", "all"]


@dataclass(frozen=True, eq=False)
class PredictSet:
    """Events in the order of their source.

    names: a path, or source:row, of each event. part: which of the source's events they are.
    own: whether the run was trained on this source. masks: of defects, where there are some.
    originals: what the events are made of.
    """

    data: DataSet
    names: tuple[str, ...]
    source: str
    part: Part
    own: bool
    masks: DefectMasks | None = None
    originals: OriginalImages | None = None

    def __len__(self) -> int:
        return len(self.data)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, numbers where they have none; () without labels."""
        if self.data.labels is None:
            return ()
        return self.data.class_names or tuple(map(str, range(self.data.domain.classes or 0)))


def open_images(
    sources: Sequence[str],
    settings: DataSettings,
    domain: Domain,
    *,
    trained_on: bool = False,
    labels: str | None = None,
    layout: Layouts = "auto",
    masks: Path | None = None,
    groups: str | None = None,
) -> tuple[list[PredictSet], list[tuple[str, str]]]:
    """The events of `sources` for a run with these settings of data, and (where, reason) of those
    that cannot be read.

    A source is an image file, or anything that `data.source` takes: its test part where it has one.
    Where it has none, a name (or the run's own source) gives what is held out, a path all.
    trained_on: the run's own source, where it is a path, gives all too. labels: a CSV of
    `file,label` for sources that are folders; layout: how these are read, as `data.layout`. masks:
    a folder of masks, instead of those that a source has itself. groups: of folders and tables, as
    `data.groups`.

    Raises DataError if a source does not exist or does not fit the run, or none can be read.
    """
    if len(domain.shape) == 3:
        settings = resolve_settings(settings, domain)
    told = {
        "labels": labels, "layout": None if layout == "auto" else layout, "groups": groups,
    }  # fmt: skip
    given = {name: value for name, value in told.items() if value is not None}
    known = None if masks is None else index_folder(masks)
    found: list[PredictSet] = []
    skipped: list[tuple[str, str]] = []
    refused: list[DataError] = []
    for loose, group in groupby(sources, _is_image_file):
        words = list(group)
        for one in [words] if loose else [[word] for word in words]:
            if loose and groups is not None:
                raise DataError(
                    f"groups {groups} of single image files are not read: name the folder or the "
                    f"table that holds {describe(words[0])} instead"
                )
            try:
                if loose:
                    found.append(_open_files(one, settings, domain, known))
                else:
                    opened = _open_source(one[0], settings, domain, trained_on, given, known)
                    found.append(opened)
                skipped += found[-1].data.skipped
            except NoReadableImage as error:
                refused.append(error)
                skipped += [(word, "it holds no readable image") for word in one]
    if not found:
        raise refused[0] if refused else DataError("name images: files, folders, or a data source")
    if masks is not None:
        check_masks([group.masks for group in found], masks)
    return found, skipped


def open_training_images(settings: DataSettings, domain: Domain, most: int) -> tuple[DataSet, int]:
    """What a run with these settings was trained on, prepared as `open_images` does, and how many
    images that are: of more than `most` that many, drawn from all, are opened."""
    settings = resolve_settings(settings, domain)
    source = open_source(settings, "train")
    rows = select(source, settings, "train").training
    chosen = rows[fixed_sample(len(rows), most)].sort().values
    return prepare_like(source, settings, domain, chosen)[0], len(rows)


def resolve_settings(settings: DataSettings, domain: Domain) -> DataSettings:
    """The settings with channels and size as they turned out for the run's images."""
    size = settings.size
    if size is None:
        if settings.pad is None and settings.random_crop is None:
            height, width = domain.whole.shape[1:]
        else:
            width, height = _trained_size(settings)
        size = height if height == width and height else None  # those of others must be alike
    return settings.model_copy(update={"channels": channels_of(domain.shape), "size": size})


def channels_of(shape: Sequence[int]) -> Channels:
    """The setting that gives images of this shape."""
    known: dict[int, Channels] = {1: "grey", 3: "colour"}
    return known.get(shape[0], "all")


def is_same_source(source: str, trained_on: str) -> bool:
    """Whether two words name one source."""
    if source in SOURCES or trained_on in SOURCES or source.startswith("hub:"):
        return source == trained_on
    return Path(source).expanduser().resolve() == Path(trained_on).expanduser().resolve()


def _trained_size(settings: DataSettings) -> tuple[int, int]:
    """Width and height of the images trained on, before padding; 0, 0 if they cannot be had."""
    try:
        return image_size(open_source(settings, "train")) or (0, 0)
    except DataError:
        return 0, 0


def _is_image_file(source: str) -> bool:
    path = Path(source).expanduser()
    return source not in SOURCES and path.is_file() and not holds_many(path)


def _open_files(
    words: Sequence[str], settings: DataSettings, domain: Domain, known: KnownMasks
) -> PredictSet:
    name = words[0] if len(words) == 1 else f"{words[0]} and {len(words) - 1} more"
    source = from_files(name, [Path(word).expanduser() for word in words], words)
    if settings.pages == "all":
        source = with_all_pages(source)
    data, rows = prepare_like(source, settings, domain, torch.arange(source.count))
    said = words[0] if len(words) == 1 else f"{len(words)} files"
    names = tuple(map(source.where, rows.tolist()))
    masks = find_masks(source, rows, settings, known)
    originals = OriginalImages(source, rows, settings)
    return PredictSet(data, names, said, "all", False, masks, originals)


def _open_source(
    name: str, settings: DataSettings, domain: Domain, trained_on: bool, given: dict[str, str],
    known: KnownMasks,
) -> PredictSet:  # fmt: skip
    own = is_same_source(name, settings.source)
    asked = (settings if own else settings.for_source(name)).model_copy(update=given)
    source, part = _open_part(asked, whole=name not in SOURCES and (trained_on or not own))
    rows = _unseen(source, asked) if part == "held-out" else torch.arange(source.count)
    if not len(rows):
        raise NothingHeldOut(
            f"{name} holds no image that was kept out of training: name other images"
        )
    _check_kind(source, name, domain)
    data, rows = prepare_like(source, asked, domain, rows)
    base = source.base
    joint = f"{name}: " if base is None else f"{printable(base)}/"
    skipped = tuple((f"{joint}{where}", reason) for where, reason in data.skipped)
    names = (
        f"{name}:{row}" if base is None else f"{joint}{source.where(row)}" for row in rows.tolist()
    )
    masks = find_masks(source, rows, asked, known)
    data = replace(data, name=name, skipped=skipped)
    originals = OriginalImages(source, rows, asked)
    return PredictSet(data, tuple(names), name, part, own, masks, originals)


def _open_part(settings: DataSettings, whole: bool) -> tuple[Source, Part]:
    """The test part; where there is none, the `whole` source, or what is held out of it."""
    try:
        return open_source(settings, "test"), "test"
    except NoTestPart:
        return open_source(settings, "train"), "all" if whole else "held-out"


def prepare_like(
    source: Source, settings: DataSettings, domain: Domain, rows: Tensor
) -> tuple[DataSet, Tensor]:
    """Those of `rows` that can be read, as events of the run's domain, and which these are."""
    # energies of images that each call scales by a range of its own could not be compared
    own_range = domain.depth > 8 or settings.intensity is not None
    in_memory = settings.model_copy(update={"storage": "auto"})
    found = prepare(source, in_memory, rows, measure=own_range)
    rows, places, _ = found.place(rows)
    events, encoded = pad(found.events, settings), source.events is None
    # that arrays are marked otherwise shows in their fingerprint alone, which scores record
    augment = replace(settings.augment, mirror=settings.mirror and encoded)
    facts = source.facts + found.facts
    if settings.tile is not None and domain.image_shape is None:
        augment = replace(augment, random_crop=None)  # the images are asked for whole
    elif settings.tile is not None:
        text = (
            f"the middle {settings.tile}x{settings.tile} of each image, the size of the "
            "training windows"
        )
        facts = (*facts, Fact("tiles", text, warning=True))
    shape = tuple(events.shape[1:])
    width, height = augment.window
    if height and shape[1] >= height and shape[2] >= width:
        shape = tuple(augment(events[:1], None).shape[1:])
    if shape != domain.shape:
        if shape[1:] == domain.shape[1:]:
            raise DataError(
                f"{describe(source.name)} has images of {plural(shape[0], 'band')}, and the run "
                f"takes {domain.shape[0]}: give it images of as many"
            )
        raise DataError(
            f"{describe(source.name)}: prepared as the run's data were, its examples have shape "
            f"{shape}, and the run takes {domain.shape}: bring them to the size of its training "
            "data first"
        )
    classes = None
    if source.labels is not None:
        classes = len(source.class_names or ()) or int(source.labels.max()) + 1
    return DataSet(
        source.name, events, replace(domain, classes=classes),
        labels=None if source.labels is None else source.labels[rows],
        modes=source.modes, mode_std=source.mode_std,
        rows=places, class_names=source.class_names, augment=augment, skipped=found.skipped,
        digest=found.digest, path=found.path, release=found.release,
        labelled=None if encoded else settings.labelled, stacked_digits=source.stacked_digits,
        facts=facts, groups=groups_of(source, settings, rows),
    ), rows  # fmt: skip


def _unseen(source: Source, settings: DataSettings) -> Tensor:
    """Rows kept from training: those held out, and all of the classes that were left out."""
    chosen = select(source, settings, "train")
    rows = chosen.held_out
    if settings.classes and chosen.labels is not None and source.labels is not None:
        left_out = (chosen.labels < 0) & (source.labels >= 0)
        rows = torch.cat([rows, left_out.nonzero().flatten()])
    return rows.sort().values


def _check_kind(source: Source, name: str, domain: Domain) -> None:
    if source.holds_images != (len(domain.shape) == 3):
        kinds = {True: "images", False: "points"}
        raise DataError(
            f"{describe(name)} holds {kinds[source.holds_images]}, and the run was trained on "
            f"{kinds[not source.holds_images]} of shape {domain.shape}: name a source of "
            f"{kinds[not source.holds_images]}"
        )
