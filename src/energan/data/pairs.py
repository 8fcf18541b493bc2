"""Pairs of images: a source, and the target that is to be made of it."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from energan.core import Batch, DataError, Domain, LabelMap, describe
from energan.data.augment import Augment
from energan.data.dataset import DataSet, mean_event, rescale
from energan.data.images.decoded import Decoded
from energan.data.images.decoding import Decoding, Size
from energan.data.images.label_maps import about_targets, resolve_labels
from energan.data.images.store import decode_source
from energan.data.pair_ranges import Sides, resolve_sides
from energan.data.pair_sizes import check_while_read
from energan.data.preparation import image_size
from energan.data.selection import groups_of, select
from energan.data.settings import DataSettings
from energan.data.sources.archives import is_archive
from energan.data.sources.named import NAMED, require_folder
from energan.data.sources.pair_files import Pairs, find_pairs, group_pairs
from energan.data.sources.pair_layout import read_pair_layout
from energan.data.sources.splits import Split, no_test_part
from energan.io.text import printable


@dataclass(frozen=True, eq=False, repr=False)
class PairSet(DataSet):
    """Targets, which are the events, and the source of each.

    sources: a set of as many images, of the same sides as the targets; the i-th is the i-th
        target's. Of it only the stored images count: the range and the augmentation are the
        targets', so that the two images of a pair are always cut and mirrored alike. Label maps
        are stored as numbers of classes.
    side_by_side: whether each pair lies in one file.
    domain: the targets', with the conditions' shape as `condition_shape`.

    Raises DataError if the two do not fit together.
    """

    sources: DataSet | None = None
    side_by_side: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sources is None or len(self.sources) != len(self):
            count = "no" if self.sources is None else len(self.sources)
            raise DataError(f"{self.name}: {count} sources for {len(self)} targets")
        if _condition_shape(self.sources, self.domain.label_map) != self.domain.condition_shape:
            raise DataError(
                f"{self.name}: sources of shape {self.sources.domain.shape} do not match the "
                f"domain's condition shape {self.domain.condition_shape}"
            )
        sides = self.events.shape[2:], self.sources.events.shape[2:]
        if sides[0] != sides[1]:
            raise DataError(
                f"{self.name}: the targets are {_sides(sides[0])} and their sources "
                f"{_sides(sides[1])}: set one size for both (data.size)"
            )

    @property
    def source_intensity(self) -> tuple[float, float] | None:
        """`intensity` of the sources."""
        return None if self.sources is None else self.sources.intensity

    def gather(
        self,
        indices: Tensor,
        dtype: torch.dtype = torch.float32,
        conditions: bool = True,
        draws: Tensor | None = None,
    ) -> Batch:
        """The pairs at `indices`, (B,) or (M, B): x the targets, condition the sources, always.

        Both (*indices.shape, C, H, W) in the domain's range, on the set's device. draws:
        (*indices.shape, 3), uniform, for what is done to both alike.
        """
        flat = indices.reshape(-1)
        assert self.sources is not None
        targets = self.take(flat)
        sources = self.sources.take(flat).to(targets.device)  # one may fit on a GPU alone
        flat_draws = None if draws is None else draws.reshape(-1, 3)
        targets, sources = (
            self.augment(part, flat_draws).to(self.device) for part in (targets, sources)
        )
        x = rescale(targets, self.domain, dtype)
        condition = as_condition(sources, self.domain, dtype)
        return Batch(x.unflatten(0, indices.shape), condition.unflatten(0, indices.shape))

    def to(self, device: torch.device | str) -> "PairSet":
        moved = cast(PairSet, super().to(device))
        assert moved.sources is not None
        return moved if moved is self else replace(moved, sources=moved.sources.to(device))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of what training sees: targets, sources, augmentation."""
        assert self.sources is not None
        told = f"{super().fingerprint} {self.sources.fingerprint}"
        if self.domain.label_map is not None:
            told += f" {self.domain.label_map}"
        return hashlib.sha256(told.encode()).hexdigest()


def as_condition(raw: Tensor, domain: Domain, dtype: torch.dtype = torch.float32) -> Tensor:
    """Sources (B, C, H, W) as they are stored, as conditions in the domain's range.

    Of one-hot label maps a plane for each class: its high end where the class is, else the low.
    """
    labels = domain.label_map
    if labels is None or not labels.one_hot:
        return rescale(raw, domain, dtype)
    assert domain.low is not None
    assert domain.high is not None
    made = torch.full(
        (len(raw), len(labels.values), *raw.shape[2:]), domain.low, dtype=dtype, device=raw.device
    )
    return made.scatter_(1, raw.long(), domain.high)


def _condition_shape(sources: DataSet, labels: LabelMap | None) -> tuple[int, ...]:
    shape = sources.domain.shape
    one_hot = labels is not None and labels.one_hot
    return (len(labels.values), *shape[1:]) if labels is not None and one_hot else shape


def _sides(shape: torch.Size) -> str:
    return f"{shape[1]}x{shape[0]}"


PAIRS = "PAIRS"
"""Placeholder in a recipe for the user's own pairs."""
ENLARGED = 286 / 256
"""Factor by which jitter enlarges images before it cuts its windows (Isola et al. 2016, appendix
6.2)."""


def open_pairs(settings: DataSettings, split: Split = "train") -> PairSet:
    """The pairs that `settings` describes, on the CPU, with the held-out ones.

    Held out are those of a folder val, or a tenth of the others, in whole groups where
    `settings.groups` tells them; jitter and mirroring are for training alone. split "test" gives
    the pairs of a folder test, or of val, whole.
    Raises DataError for a source that holds no pairs, and settings that do not fit them.
    """
    _check(settings)
    try:
        path, name = _folder(settings.source)
        layout, where = read_pair_layout(path, settings.layout), printable(path)
        if split == "test":
            test = find_pairs(layout, "test", name) or find_pairs(layout, "val", name)
            if test is None:
                raise no_test_part(where)
            if settings.groups is not None:
                test = group_pairs(test, settings.groups)
            opener = _Opener(settings, test, scale=find_pairs(layout, "train", name))
            return opener.open(torch.arange(test.left.count), training=False)
        pairs = find_pairs(layout, "train", name)
        if pairs is None:
            raise DataError(
                f"{where} holds no pairs to train on: name the folder that holds train/"
            )
        kept = find_pairs(layout, "val", name) if settings.held_out is None else None
        if settings.groups is not None:
            pairs = group_pairs(pairs, settings.groups, kept)
            kept = None if kept is None else group_pairs(kept, settings.groups)
        return _training(settings, pairs, kept)
    except OSError as error:
        raise DataError(f"{settings.source} cannot be read: {describe(error)}") from error


def _training(settings: DataSettings, pairs: Pairs, kept: Pairs | None) -> PairSet:
    left = pairs.left if kept is None else replace(pairs.left, held_out=0)
    chosen = select(left, settings, "train")
    opener = _Opener(settings, pairs)
    whole = opener.open(chosen.training, training=True)
    domain = replace(whole.domain, mean=mean_event(whole))
    held_out = None
    if kept is not None:
        held_out = opener.like(kept).open(torch.arange(kept.left.count), training=False)
    elif len(chosen.held_out):
        held_out = opener.open(chosen.held_out, training=False)
    if held_out is not None:
        held_out = replace(held_out, domain=domain)
    return replace(whole, domain=domain, held_out=held_out)


class _Opener:
    """Decodes pairs: the side that `settings.direction` starts from as sources.

    how: for sources and targets, where it is known. scale: the pairs by whose range floats are
    scaled, if these are others.
    """

    def __init__(
        self,
        settings: DataSettings,
        pairs: Pairs,
        how: tuple[Decoding, Decoding] | None = None,
        scale: Pairs | None = None,
    ) -> None:
        self.settings, self.pairs = settings, pairs
        self.sides = self._directed(pairs)
        self.facts = pairs.facts
        stretched = settings.size is not None and settings.fit == "stretch"
        if not pairs.joint and settings.crop is None and not stretched:
            self.sides = check_while_read(self.sides, settings)
        if how is None:
            asked = replace(settings.decoding, size=self._size())
            scale_of = None if scale is None else lambda: self._directed(scale)
            resized = asked.size is not None
            labelled = self.sides[0] if scale is None else self._directed(scale)[0]
            labels, told = resolve_labels(
                labelled, settings.label_maps, settings.label_values, resized=resized
            )
            how, facts = resolve_sides(self.sides, asked, scale_of, labels)
            self.facts += told + about_targets(self.sides[1], resized=resized) + facts
        self.how = how

    def like(self, pairs: Pairs) -> "_Opener":
        """Of other pairs of the same data: their sizes, channels and range are those of these."""
        return _Opener(self.settings, pairs, self.how)

    def _directed(self, pairs: Pairs) -> Sides:
        sides = (pairs.left, pairs.right)
        return sides if self.settings.direction == "left-to-right" else sides[::-1]

    def open(self, rows: Tensor, *, training: bool) -> PairSet:
        """The pairs at `rows`; changed from one time to the next if they are for `training`."""
        settings = self.settings
        size = self.how[0].size
        augment = Augment(None, training and settings.mirror)
        if training and settings.jitter:
            assert size is not None
            augment = replace(augment, random_crop=size)
            size = _enlarged(size)
        ascending = rows.sort().values
        assert settings.storage != "stream"
        found = [
            decode_source(side, replace(how, size=size), ascending, storage=settings.storage)
            for side, how in zip(self.sides, self.how, strict=True)
        ]
        rows = rows[torch.isin(rows, found[0].rows) & torch.isin(rows, found[1].rows)]
        if not len(rows):
            raise DataError(f"{self.pairs.left.name} holds no pair with two readable images")
        sources, targets = (self._set(rows, each, augment) for each in found)
        pairs = _join(sources, targets, self.how[0].label_map)
        return replace(pairs, side_by_side=self.pairs.joint)

    def _set(self, rows: Tensor, found: Decoded, augment: Augment) -> DataSet:
        shape = tuple(augment(found.events[:0], None).shape[1:])
        _, places, digest = found.place(rows)
        return DataSet(
            self.pairs.left.name, found.events,
            Domain(shape, *self.settings.bounds, depth=found.depth, shown=self.settings.shown),
            rows=places, augment=augment, skipped=found.skipped, digest=digest, path=found.path,
            release=found.release, facts=self.facts + found.facts, intensity=found.intensity,
            groups=groups_of(self.pairs.left, self.settings, rows),
        )  # fmt: skip

    def _size(self) -> Size | None:
        """What all images are brought to; None to leave them as they are."""
        if self.settings.size is not None or not self.settings.jitter:
            return self.settings.size
        found = image_size(self.sides[1])
        if found is None or self.settings.crop is not None:
            raise DataError("data.jitter needs a size to enlarge images from: set data.size")
        width, height = found
        return width if width == height else found


def _enlarged(size: Size) -> Size:
    if isinstance(size, int):
        return round(size * ENLARGED)
    return round(size[0] * ENLARGED), round(size[1] * ENLARGED)


def _join(sources: DataSet, targets: DataSet, labels: LabelMap | None) -> PairSet:
    skipped = tuple(dict.fromkeys((*targets.skipped, *sources.skipped)))
    facts = tuple(dict.fromkeys((*sources.facts, *targets.facts)))
    return PairSet(
        targets.name, targets.events,
        replace(
            targets.domain, condition_shape=_condition_shape(sources, labels), label_map=labels
        ),
        rows=targets.rows, groups=targets.groups, augment=targets.augment, skipped=skipped,
        digest=targets.digest, path=targets.path, release=targets.release, sources=sources,
        facts=facts, intensity=targets.intensity,
    )  # fmt: skip


def _folder(source: str) -> tuple[Path, str | None]:
    """Where pairs lie, and the name of a named set."""
    if source == PAIRS:
        raise DataError(
            "this recipe is for your own pairs of images: name their folder, for example --data "
            "pairs"
        )
    if source in NAMED and NAMED[source].form is not None:
        return require_folder(source), source
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:  # a ~user that does not exist
        raise DataError(f"{describe(source)} cannot be read: {describe(error)}") from error
    if path.is_file() and is_archive(path):
        raise DataError(
            f"pairs cannot be read from an archive: unpack {describe(source)}, and name the folder"
        )
    if not path.is_dir():
        raise DataError(
            f"data.direction needs a folder of pairs, and {describe(source)} is not one: name a "
            "folder of images that each hold two side by side, or a folder with two folders in "
            "it"
        )
    return path, None


def _check(settings: DataSettings) -> None:
    unfit = (
        "pad", "random_crop", "tile", "classes", "labels", "tags", "labelled",
        "image_column", "label_column", "attributes",
    )  # fmt: skip
    for name in unfit:
        if getattr(settings, name):
            remedy = "; jitter cuts both alike" if name in ("random_crop", "tile") else ""
            raise DataError(
                f"data.{name} does not apply to pairs of images: leave it unset{remedy}"
            )
    if "groups" in settings.csvs:
        raise DataError(
            f"data.groups {settings.groups}: groups of pairs are not read from a CSV: give a "
            "regular expression on their paths, such as '(patient\\d+)', or the word folder"
        )
    if settings.layout not in ("auto", "flat"):
        raise DataError(
            f"data.layout {settings.layout} does not apply to pairs of images: use flat if each "
            "file is a pair side by side, or leave it unset"
        )
    if settings.pages == "all":
        raise DataError("data.pages all does not apply to pairs of images: leave it unset")
    if settings.storage == "stream":
        raise DataError("data.storage stream does not apply to pairs of images: use auto")
