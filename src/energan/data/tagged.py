"""Tagged images, as features: each event is the vector of a tag, its condition the features.

An image with k tags gives k events, so each tag of each image comes up once an epoch. The other
way, one tag of each image drawn anew, would give the same distribution of tags given the features;
this one needs no draws, weighs every stated tag alike (so an image counts by its tags), and is
what precision and recall count too.
"""

import hashlib
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energan.core import Batch, DataError, Domain, describe
from energan.data.dataset import DataSet, mean_event
from energan.data.settings import DataSettings
from energan.data.sources.splits import Split, fixed_order, no_test_part
from energan.data.sources.tag_files import TagFile, read_tag_file
from energan.io.text import plural

Matrix = NDArray[np.float64]
SMALLEST = 1e-9
"""A norm below which a vector counts as zero."""


def ppmi(tags: NDArray[np.bool_]) -> Matrix:
    """Positive pointwise mutual information (T, T) of tags (N, T), in nats, ≥ 0, symmetric.

    With p(i) the share of images that have tag i and p(i, j) of those that have both:

        PPMI(i, j) = max(0, log p(i, j) / (p(i) p(j))),   0 where no image has both;

    on the diagonal p(i, i) = p(i), so it is −log p(i): 0 only for a tag that every image has.
    """
    counts = tags.astype(np.float64)
    both, single = counts.T @ counts, counts.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = both * len(tags) / np.outer(single, single)
        return np.where(both > 0, np.maximum(np.log(ratio), 0.0), 0.0)


def tag_vectors(tags: NDArray[np.bool_], dimensions: int) -> Matrix:
    """Unit vectors (T, V) of tags (N, T), V = min(dimensions, T).

    With PPMI = U Σ Wᵀ, singular values in falling order, the rows of U_V Σ_V^½ (the symmetric form
    of Levy, Goldberg & Dagan 2015, section 3.3), each over its norm. The largest entry of each
    column of U is made positive, so that the signs are settled. The row of a tag whose part in the
    first V columns is nothing stays 0.
    """
    matrix = ppmi(tags)
    left, values, _ = np.linalg.svd(matrix)
    kept = min(dimensions, len(matrix))
    values[values <= values[0] * len(matrix) * np.finfo(np.float64).eps] = 0  # rounding, no part
    left, values = left[:, :kept], values[:kept]
    largest = left[np.abs(left).argmax(0), np.arange(kept)]
    return normalise_rows(left * np.where(largest < 0, -1.0, 1.0) * np.sqrt(values))


def normalise_rows(vectors: Matrix) -> Matrix:
    """Rows over their norms; one that is (nearly) 0 becomes 0."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norms > SMALLEST, vectors / np.maximum(norms, SMALLEST), 0.0)


Tags = NDArray[np.bool_]
NONE, EVERYWHERE = "no training image has it", "every training image has it, so it tells nothing"


@dataclass(frozen=True)
class Scaling:
    """mean, scale: (F,); features minus the mean, times the scale: 1/std, 0 where that is 0."""

    mean: Tensor
    scale: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Features (..., F) as the training part's mean and standard deviation standardise them."""
        return (features - self.mean) * self.scale


@dataclass(frozen=True, eq=False, repr=False)
class TagSet(DataSet):
    """events: the unit vectors of the tags (T, V); rows: the tag of each (image, tag) pair.

    features: float32 (I, F), standardised by `scaling`; images: int64 (N,), the image of each pair.
    tags: bool (I, T), which images have which; names: of the tags.
    places: int64 (I,), the rows of `file` that the images are.
    """

    features: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    images: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    tags: Tags = field(default_factory=lambda: np.zeros((0, 0), bool))
    names: tuple[str, ...] = ()
    scaling: Scaling = field(default_factory=lambda: Scaling(torch.zeros(0), torch.zeros(0)))
    places: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    file: TagFile | None = None

    def gather(
        self,
        indices: Tensor,
        dtype: torch.dtype = torch.float32,
        conditions: bool = True,
        draws: Tensor | None = None,
    ) -> Batch:
        """The pairs at `indices`, (B,) or (M, B): x tag vectors (*, V), condition features (*, F).

        The condition is always there.
        """
        batch = super().gather(indices, dtype)
        chosen = self.images[indices.reshape(-1).to(self.images.device)]
        features = self.features[chosen].to(self.device, dtype)
        return Batch(batch.x, features.unflatten(0, indices.shape))

    def to(self, device: torch.device | str) -> "TagSet":
        moved = cast(TagSet, super().to(device))
        there = moved.events.device
        return replace(moved, features=self.features.to(there), images=self.images.to(there))

    @property
    def kept(self) -> "TagSet | None":
        """What is held out, which is of the same kind."""
        return cast("TagSet | None", self.held_out)

    @property
    def about(self) -> dict[str, Any] | None:
        """What made the features, where the file tells."""
        return None if self.file is None else self.file.about.get("extractor")

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of what training sees: vectors, pairs, features."""
        digest = hashlib.sha256(super().fingerprint.encode())
        for part in (self.images, self.features):
            digest.update(f"{part.dtype} {tuple(part.shape)};".encode())
            digest.update(part.cpu().contiguous().numpy().data)
        return digest.hexdigest()


def open_tags(settings: DataSettings, split: Split = "train") -> TagSet:
    """The tagged features that `settings.source` names, with those held out.

    Held out are the images that the file says, or else a tenth, by a fixed shuffle: whole, so no
    image has a tag in either part. Standardisation and vocabulary are of the training part. Left
    out, and told in `skipped`: tags that no vector can be made of, and images without tags.

    Raises DataError for a file that does not fit, and settings that do not fit it.
    """
    path = Path(os.path.expanduser(settings.source))
    _check(settings, path)
    if split == "test":
        raise no_test_part(path)
    file = read_tag_file(path)
    training, kept = _split(file, settings)
    columns, told = _vocabulary(file, training)
    names = tuple(file.names[i] for i in columns)
    tags = file.tags[:, columns]
    vectors = _vectors(file, tags[training], columns, names, settings)
    rows, skipped = _with_tags(tags, training)
    kept, more = _with_tags(tags, kept)
    if not len(rows):
        raise DataError(f"{path}: no training image has a tag")
    scaling = _scaling(torch.from_numpy(file.features[rows]))
    events = torch.from_numpy(vectors.astype(np.float32))
    domain = Domain(tuple(events.shape[1:]), condition_shape=tuple(file.features.shape[1:]))

    def part(places: NDArray[np.int64]) -> TagSet:
        own = tags[places]
        images, which = (torch.from_numpy(found) for found in own.nonzero())
        shuffled = fixed_order(len(images))  # so that the first N are of many images
        return TagSet(
            path.name, events, domain, rows=which[shuffled],
            skipped=(*told, *skipped, *more),
            features=scaling(torch.from_numpy(file.features[places])), images=images[shuffled],
            tags=own, names=names, scaling=scaling, places=torch.from_numpy(places), file=file,
        )  # fmt: skip

    whole = part(rows)
    domain = replace(domain, mean=mean_event(whole))
    held_out = replace(part(kept), domain=domain) if len(kept) else None
    return replace(whole, domain=domain, held_out=held_out)


def _check(settings: DataSettings, path: Path) -> None:
    """Raise DataError for settings of images."""
    blank = DataSettings()
    names = (
        "crop", "size", "pad", "random_crop", "tile", "mirror", "jitter", "direction", "classes",
        "labels", "labelled", "tags", "groups", "layout",
    )  # fmt: skip
    for name in names:
        if getattr(settings, name) != getattr(blank, name):
            raise DataError(f"{path} holds features, not images: leave data.{name} unset")
    if settings.storage in ("cache", "stream"):
        raise DataError(f"{path} is read into memory: leave data.storage unset")


def _split(file: TagFile, settings: DataSettings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows held out."""
    if file.held_out is None:
        count = len(file.features)
        order = fixed_order(count).numpy()
        kept = count // 10 if settings.held_out is None else settings.held_out
        left = count - kept
        training, held_out = order[: max(left, 0)], np.sort(order[max(left, 0) :])
    else:
        if settings.held_out is not None:
            raise DataError(
                f"{file.path} already says which images are held out: leave data.held_out unset"
            )
        training, held_out = np.flatnonzero(~file.held_out), np.flatnonzero(file.held_out)
    most = len(training)
    if most < 2 or (settings.limit or 0) > most:
        raise DataError(
            f"{file.path} has {plural(len(file.features), 'image')}, {max(most, 0)} of them to "
            "train on, and needs at least 2: lower data.limit or data.held_out"
        )
    return np.sort(training[: settings.limit or most]), held_out


def _vocabulary(
    file: TagFile, training: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[tuple[str, str], ...]]:
    """The columns of tags that are used, and (tag, why not) of the others."""
    counts = file.tags[training].sum(0)
    told: dict[int, str] = {}
    if file.vectors is None:  # they come of how often tags meet
        told = dict.fromkeys(np.flatnonzero(counts == 0).tolist(), NONE)
        told |= dict.fromkeys(np.flatnonzero(counts == len(training)).tolist(), EVERYWHERE)
    columns = np.array([i for i in range(len(file.names)) if i not in told], dtype=np.int64)
    if len(columns) < 2:
        raise DataError(
            f"{file.path}: only {plural(len(columns), 'tag')} can be told apart on the training "
            "images, and at least 2 are needed"
        )
    return columns, tuple((f"tag {file.names[i]}", why) for i, why in sorted(told.items()))


def _vectors(
    file: TagFile,
    tags: Tags,
    columns: NDArray[np.int64],
    names: tuple[str, ...],
    settings: DataSettings,
) -> NDArray[np.float64]:
    """Unit vectors of the tags in use: the file's own, or of their co-occurrence."""
    if file.vectors is not None:
        return normalise_rows(file.vectors[columns])
    found = tag_vectors(tags, settings.tag_dimensions)
    for name, row in zip(names, found, strict=True):
        if np.linalg.norm(row) < SMALLEST:
            raise DataError(
                f"{file.path}: with {settings.tag_dimensions} dimensions nothing is left of the "
                f"tag {describe(name)}: raise data.tag_dimensions"
            )
    return found


def _with_tags(
    tags: Tags, places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[tuple[str, str]]]:
    """The places of images that have tags, and (row, why) of the others."""
    tagged = tags[places].any(1)
    return places[tagged], [(f"row {i}", "it has no tags") for i in places[~tagged]]


def _scaling(features: Tensor) -> Scaling:
    exact = features.double()
    mean, std = exact.mean(0), exact.std(0, correction=0)
    # of what never changes rounding is all that is left
    flat = std <= 1e-6 * exact.abs().amax(0)
    return Scaling(mean.float(), torch.where(flat, 0.0, 1 / std).float())
