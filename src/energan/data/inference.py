"""Images to be judged: files, folders and data sources, prepared as the run's own data were."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import DataError, Domain, NoReadableImage, NoTestPart, NothingHeldOut, describe
from energan.data import SOURCES, DataSet, DataSettings, open_data
from energan.data.dataset import Augment, Source
from energan.data.images.checksums import content_of
from energan.data.images.decoding import size_of
from energan.data.images.encoded import Encoded
from energan.data.images.store import decoded
from energan.data.selection import select
from energan.data.sources.detect import PACKED, open_source
from energan.data.sources.folders import file_parts
from energan.data.sources.idx import is_idx
from energan.data.sources.named import Opened, default_crop
from energan.data.sources.splits import Split


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
    found = decoded(source, how, rows)
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


ARRAYS = {".mat", ".npy", ".npz", ".parquet", ".arrow"}

Part = Literal["test", "held-out", "all"]
_WHOLE: dict[Split, Part] = {"test": "test", "train": "all"}


@dataclass(frozen=True, eq=False)
class Judged:
    """Events in the order of their source.

    names: a path, or source:row, of each event. part: which of the source's events they are.
    own: whether the run was trained on this source.
    """

    data: DataSet
    names: tuple[str, ...]
    source: str
    part: Part
    own: bool

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
) -> tuple[list[Judged], list[tuple[str, str]]]:
    """The events of `sources` for a run with these settings of data, and (where, reason) of those
    that cannot be read.

    A source is an image file, or anything that `data.source` takes: its test part where it has one.
    Where it has none, a name (or the run's own source) gives what is held out, a path all.
    trained_on: the run's own source, where it is a path, gives all too. labels: a CSV of
    `file,label` for sources that are folders.

    Raises DataError if a source does not exist or does not fit the run, or none can be read.
    """
    if len(domain.shape) == 3:
        settings = filled(settings, domain)
    found: list[Judged] = []
    skipped: list[tuple[str, str]] = []
    refused: list[DataError] = []
    for loose, group in groupby(sources, _is_image_file):
        words = list(group)
        for one in [words] if loose else [[word] for word in words]:
            try:
                if loose:
                    found.append(_files(one, settings, domain))
                else:
                    found.append(_source(one[0], settings, domain, trained_on, labels))
                skipped += found[-1].data.skipped
            except NoReadableImage as error:
                refused.append(error)
                skipped += [(word, "no image there can be read") for word in one]
    if not found:
        raise refused[0] if refused else DataError("name images: files, folders, or a data source")
    return found, skipped


def _is_image_file(source: str) -> bool:
    path = Path(source).expanduser()
    if source in SOURCES or not path.is_file():
        return False
    packed = path.suffix.lower() in PACKED or path.name.lower().endswith(".tar.gz")
    return not packed and path.suffix.lower() not in ARRAYS and not is_idx(path)


def _files(words: Sequence[str], settings: DataSettings, domain: Domain) -> Judged:
    files = [Path(word).expanduser() for word in words]
    source = Encoded(
        words[0] if len(words) == 1 else f"{words[0]} and {len(words) - 1} more", len(files),
        file_parts(files),
        lambda row: words[row], lambda: content_of(files, list(words)),
    )  # fmt: skip
    data, rows = pictures(source, settings, domain, torch.arange(len(files)))
    told = words[0] if len(words) == 1 else f"{len(words)} files"
    return Judged(data, tuple(words[row] for row in rows.tolist()), told, "all", False)


def _source(
    name: str, settings: DataSettings, domain: Domain, trained_on: bool, labels: str | None
) -> Judged:
    own = same_source(name, settings.source)
    asked = settings if own else foreign(settings, name)
    if labels is not None:
        asked = asked.model_copy(update={"labels": labels})
    source, split = _opened(asked)
    rows, part = torch.arange(source.count), _WHOLE[split]
    if split == "train" and (name in SOURCES or (own and not trained_on)):
        rows, part = _unseen(source, asked), "held-out"
    if not len(rows):
        raise NothingHeldOut(f"{name} holds nothing that was kept from training: name other images")
    _check_kind(source, name, domain)
    if isinstance(source, Encoded):
        data, rows = pictures(source, asked, domain, rows)
    else:
        data = arrays(source, asked, domain, rows, split)
    base = _base(name, source)
    joint = f"{name}: " if base is None else f"{base}/"
    skipped = tuple((f"{joint}{where}", reason) for where, reason in data.skipped)
    names = (
        str(base / source.where(row))
        if base is not None and isinstance(source, Encoded)
        else f"{name}:{row}"
        for row in rows.tolist()
    )
    return Judged(replace(data, name=name, skipped=skipped), tuple(names), name, part, own)


def _opened(settings: DataSettings) -> tuple[Opened, Split]:
    try:
        return open_source(settings, "test"), "test"
    except NoTestPart:
        return open_source(settings, "train"), "train"


def same_source(source: str, trained_on: str) -> bool:
    """Whether two words name one source."""
    if source in SOURCES or trained_on in SOURCES or source.startswith("hub:"):
        return source == trained_on
    return Path(source).expanduser().resolve() == Path(trained_on).expanduser().resolve()


def foreign(settings: DataSettings, source: str) -> DataSettings:
    """What prepares another source like the run's own; all that concerns only that one is left."""
    blank = DataSettings()
    names = (
        "classes", "limit", "held_out", "labels", "labelled", "image_column", "label_column",
        "attributes",
    )  # fmt: skip
    return settings.model_copy(
        update={"source": source, **{name: getattr(blank, name) for name in names}}
    )


def _unseen(source: Opened, settings: DataSettings) -> Tensor:
    """Rows kept from training: those held out, and all of the classes that were left out."""
    chosen = select(source, settings, "train")
    rows = chosen.held_out
    if settings.classes and chosen.labels is not None and source.labels is not None:
        left_out = (chosen.labels < 0) & (source.labels >= 0)
        rows = torch.cat([rows, left_out.nonzero().flatten()])
    return rows.sort().values


def _check_kind(source: Opened, name: str, domain: Domain) -> None:
    images = isinstance(source, Encoded) or source.events.dim() == 4
    if images != (len(domain.shape) == 3):
        kinds = {True: "images", False: "points"}
        raise DataError(
            f"{describe(name)} holds {kinds[images]}, and the run was trained on "
            f"{kinds[not images]} of shape {domain.shape}: name a source of {kinds[not images]}"
        )


def _base(name: str, source: Opened) -> Path | None:
    """The folder that a source's image files are named from; None if it has no files."""
    folder = Path(name).expanduser()
    if isinstance(source, Encoded) and name not in SOURCES and folder.is_dir():
        bases = [folder, *(p for p in sorted(folder.iterdir()) if p.is_dir())]
        return next((base for base in bases if (base / source.where(0)).is_file()), None)
    return None
