"""Events in memory, or mapped into it; images stay integers, and are scaled by the batch."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from energan.core import Batch, DataError, Domain
from energan.core.accelerators import accelerator_memory
from energan.data.augment import PLAIN, Augment
from energan.data.batches import Feed
from energan.data.facts import Fact
from energan.data.settings import DataSettings
from energan.io.text import plural

CHUNK, MEAN_OF = 2**24, 50_000
"""Numbers compared in one pass, and events that a mean is computed over."""
CPU = torch.device("cpu")
EVERY = slice(None)
LEVELS = {torch.uint8: 255, torch.uint16: 65535}


@dataclass(frozen=True, eq=False)
class DataSet:
    """Examples, their labels, and the part held out from training.

    Attributes:
        name: name of the source.
        events: uint8 or uint16 images, (S, C, H, W), which are scaled when they are gathered; or
            float32 (S, *event), already in the range of the data.
        domain: shape and range. Its mean is that of the training examples, also in `held_out`;
            None in a test part.
        labels: int64 (N,), in [0, domain.classes), -1 for an example without a label; None if
            none has one.
        held_out: the held-out examples; None if there are none.
        modes: centres (K, D) of the modes of a toy; label k then means mode k.
        mode_std: standard deviation around each mode.
        rows: int64 (N,), row of `events` for each example; None if they are in order.
        class_names: names of the classes.
        attributes: uint8 (N, A), 0 or 1; None without attributes.
        attribute_names: names of the attributes.
        augment: random changes to images in training.
        skipped: (file, reason) for images that could not be read.
        digest: sha256 of the examples, if it is known without reading them.
        path: file of the cache that holds the images; None for images in memory.
        release: frees memory of the cache; see Decoded.
        device: device of gathered batches; `events` may stay on the CPU.
        labelled: number of training labels to use, chosen by the seed; None for all. Other
            labels are used for scores only.
        stacked_digits: whether each image shows three digits a, b, c in its colours, of class
            100a + 10b + c.
        facts: what was understood of the source and done to its images, for the user.
        intensity: values of the source that became the ends of the range, if its type does not
            determine them; for pairs, those of the targets.
        groups: int64 (N,), number of the group of each example, such as a patient; None if
            examples are independent.

    Raises:
        DataError: if the parts do not fit together.
    """

    name: str
    events: Tensor
    domain: Domain
    labels: Tensor | None = None
    held_out: "DataSet | None" = None
    modes: Tensor | None = None
    mode_std: float | None = None
    rows: Tensor | None = None
    class_names: tuple[str, ...] | None = None
    attributes: Tensor | None = None
    attribute_names: tuple[str, ...] | None = None
    augment: Augment = PLAIN
    skipped: tuple[tuple[str, str], ...] = ()
    digest: str | None = None
    path: Path | None = None
    release: Callable[[int], None] | None = None
    device: torch.device = CPU
    labelled: int | None = None
    stacked_digits: bool = False
    facts: tuple[Fact, ...] = ()
    intensity: tuple[float, float] | None = None
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        held = self.augment(self.events[:0], None) if self.events.dim() == 4 else self.events
        if tuple(held.shape[1:]) != self.domain.shape:
            raise DataError(
                f"{self.name}: examples of shape {tuple(held.shape[1:])} do not match the domain's "
                f"shape {self.domain.shape}"
            )
        unbounded = self.domain.low is None or self.domain.high is None
        if self.events.dtype in LEVELS and unbounded:
            raise DataError(f"{self.name}: {self.events.dtype} examples need a domain with a range")
        if self.labels is not None and len(self.labels) != len(self):
            raise DataError(
                f"{self.name}: {len(self.labels)} labels for {plural(len(self), self.domain.noun)}"
            )
        if self.groups is not None and len(self.groups) != len(self):
            raise DataError(
                f"{self.name}: {len(self.groups)} groups for {plural(len(self), self.domain.noun)}"
            )
        if self.attributes is not None and len(self.attributes) != len(self):
            raise DataError(
                f"{self.name}: {len(self.attributes)} rows of attributes for "
                f"{plural(len(self), self.domain.noun)}"
            )
        names, known = self.attribute_names, self.attributes
        if names is not None and (known is None or known.shape[1] != len(names)):
            raise DataError(
                f"{self.name}: {len(names)} attribute names do not match the attributes: give "
                "one name per column"
            )
        if self.class_names is not None and len(self.class_names) != self.domain.classes:
            raise DataError(
                f"{self.name}: {len(self.class_names)} names for {self.domain.classes} classes"
            )

    def __repr__(self) -> str:
        domain = self.domain
        parts = [f"{plural(len(self), 'example')} of shape {domain.shape}"]
        if domain.condition_shape is not None:
            parts.append(f"each with a condition of shape {domain.condition_shape}")
        if domain.low is not None:
            parts.append(f"in [{domain.low:g}, {domain.high:g}]")
        if self.labels is not None:
            parts.append(plural(domain.classes or 0, "class"))
        if self.held_out is not None:
            parts.append(f"{len(self.held_out):,} held out")
        return f"{type(self).__name__}({self.name!r}: {', '.join(parts)})"

    def __len__(self) -> int:
        return self.in_memory

    @property
    def in_memory(self) -> int:
        """Number of examples that `gather` can reach; in a stream, those at its beginning."""
        return len(self.events if self.rows is None else self.rows)

    @property
    def events_device(self) -> torch.device:
        """Where the events are, and the indices of `gather` best are too."""
        return self.events.device

    def raw(self, rows: slice = EVERY) -> Tensor:
        """The examples as they are stored, in the order of the set: uint8 images before scaling."""
        if self.rows is None:
            return self.events[rows]
        return _select(self.events, self.rows[rows])

    def feed(
        self,
        seeds: Sequence[int],
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        stream: str = "train",
        conditions: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> Feed:
        """Batches in the orders that `seeds` give; see Feed."""
        return Feed(self, seeds, batch_size, dtype, stream, conditions, share)

    def gather(
        self,
        indices: Tensor,
        dtype: torch.dtype = torch.float32,
        conditions: bool = False,
        draws: Tensor | None = None,
    ) -> Batch:
        """Return a batch of the examples at `indices`.

        Args:
            indices: (B,) or (M, B).
            dtype: floating point type of x.
            conditions: whether the batch carries labels, int64 of the shape of `indices`, -1 for
                none.
            draws: random numbers in [0, 1), (*indices.shape, 3), for augmentation; None for
                none.

        Returns:
            The batch, x (B, *event) or (M, B, *event) in the range of the data, on the set's
            device.

        Raises:
            DataError: if labels are asked for and there are none.
        """
        flat = indices.reshape(-1).to(self.events.device)
        rows = self.take(flat)
        if self.augment:
            rows = self.augment(rows, None if draws is None else draws.reshape(-1, 3))
        x = rescale(rows.to(self.device, non_blocking=True), self.domain, dtype)
        condition = None
        if conditions:
            if self.labels is None:
                raise DataError(
                    f"{self.name} has no labels, and this model is conditional: use a source "
                    "with labels, or an unconditional model"
                )
            condition = self.labels.index_select(0, flat).reshape(indices.shape).to(self.device)
        return Batch(x.reshape(*indices.shape, *self.domain.shape), condition)

    def take(self, indices: Tensor) -> Tensor:
        """The examples at `indices` (n,) as they are stored, (n, *event)."""
        indices = indices.to(self.events.device)
        found = _select(self.events, indices if self.rows is None else self.rows[indices])
        if self.release is not None:
            self.release(len(indices))
        return found

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """A checksum (16 hex digits) of each event as it is stored: alike, whatever file or source
        two events are of, if they hold the same."""
        found = []
        for rows in _chunks(torch.arange(len(self)), self.events):
            for event in self.take(rows).cpu().contiguous():
                found.append(hashlib.blake2b(event.numpy().data, digest_size=8).hexdigest())
        return tuple(found)

    def subset(self, chosen: Tensor) -> "DataSet":
        """A data set of the examples at `chosen`, int64 (n,), with their labels."""
        return replace(
            self,
            rows=chosen if self.rows is None else self.rows[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            attributes=None, attribute_names=None, digest=None,
        )  # fmt: skip

    @property
    def whole(self) -> "DataSet":
        """The same images whole, if training uses windows of them."""
        if self.domain.image_shape is None:
            return self
        held_out = None if self.held_out is None else self.held_out.whole
        augment = replace(self.augment, random_crop=None)
        return replace(self, domain=self.domain.whole, augment=augment, held_out=held_out)

    def to(self, device: torch.device | str) -> "DataSet":
        """The same data with its batches on `device`.

        The examples move too if they take at most a quarter of the free memory of a GPU.
        """
        device = torch.device(device)
        if device == self.device:
            return self
        held_out = None if self.held_out is None else self.held_out.to(device)
        modes = None if self.modes is None else self.modes.to(device)
        moved = replace(self, held_out=held_out, modes=modes, device=device)
        if not _fits(self.events, device):
            return moved
        parts = {"events": self.events, "labels": self.labels, "rows": self.rows}
        there = {n: None if part is None else part.to(device) for n, part in parts.items()}
        return replace(moved, **there, release=None)  # type: ignore[arg-type]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of what training sees: examples, labels, augmentation. The held-out part has
        its own.
        """
        digest = hashlib.sha256()
        if self.digest is not None:
            digest.update(self.digest.encode())
        else:
            shape = (len(self), *self.events.shape[1:])
            digest.update(f"{self.events.dtype} {shape};".encode())
            for chunk in _chunks(torch.arange(len(self), device=self.events.device), self.events):
                rows = chunk if self.rows is None else self.rows[chunk]
                digest.update(_select(self.events, rows).cpu().reshape(-1).numpy().data)
        if self.labels is None:
            digest.update(b"none")
        else:
            digest.update(f"{self.labels.dtype} {tuple(self.labels.shape)};".encode())
            digest.update(self.labels.cpu().contiguous().numpy().data)
        digest.update(f"{self.domain.low} {self.domain.high} {self.domain.classes}".encode())
        if self.labelled is not None:
            digest.update(f"labelled {self.labelled}".encode())
        if self.augment:
            digest.update(repr(self.augment).encode())
        return digest.hexdigest()


def _select(events: Tensor, rows: Tensor) -> Tensor:
    if events.dtype == torch.uint16:  # which torch does not index on every device
        return events.view(torch.int16).index_select(0, rows).view(torch.uint16)
    return events.index_select(0, rows)


def _fits(events: Tensor, device: torch.device) -> bool:
    free = accelerator_memory(device)
    return free is None or events.numel() * events.element_size() <= free / 4


def _chunks(indices: Tensor, events: Tensor) -> Sequence[Tensor]:
    """The indices in pieces whose events have about CHUNK numbers together, whatever their size."""
    size = max(1, CHUNK // max(1, events[:1].numel()))
    return [indices[at : at + size] for at in range(0, len(indices), size)]


def rescale(raw: Tensor, domain: Domain, dtype: torch.dtype) -> Tensor:
    """Integer images as `dtype` in the domain's range: 0 is exactly its low end, the greatest value
    its high end; others only become `dtype`."""
    if raw.dtype not in LEVELS:
        return raw.to(dtype)
    assert domain.low is not None
    assert domain.high is not None
    return raw.to(dtype).div_(LEVELS[raw.dtype] / (domain.high - domain.low)).add_(domain.low)


def mean_event(data: DataSet) -> Tensor:
    """The mean event in the domain's range, float32 (*event,).

    Of more than MEAN_OF events, that many spread over the set stand for all.
    """
    total = torch.zeros(data.domain.shape, dtype=torch.float64)
    count = min(len(data), MEAN_OF)
    chosen = torch.arange(count) * len(data) // count
    for chunk in _chunks(chosen, data.events):
        total += data.gather(chunk).x.sum(0, dtype=torch.float64)
    return (total / len(chosen)).float()


def shape_of(name: str, shape: tuple[int, ...], settings: DataSettings) -> tuple[int, ...]:
    """The shape of an event after augmentation; DataError if the images are too small for it."""
    side = settings.tile or settings.random_crop
    if side is None or len(shape) != 3:
        return shape
    if side > min(shape[1:]):
        setting = "random_crop" if settings.tile is None else "tile"
        raise DataError(
            f"data.{setting} {side} is larger than the images of {name}, {shape[2]}x{shape[1]}: "
            f"set a larger data.size, or a smaller data.{setting}"
        )
    return shape[0], side, side


def describe_windows(
    shape: tuple[int, ...], image_shape: tuple[int, ...], settings: DataSettings
) -> tuple[tuple[int, ...] | None, tuple[Fact, ...]]:
    """`Domain.image_shape` of events of `shape` that are cut out of images, and a line on it."""
    if settings.tile is None or shape == image_shape:
        return None, ()
    (height, width), side = image_shape[1:], settings.tile
    text = f"training uses random windows of {side}x{side} from images of {width}x{height}"
    return image_shape, (Fact("tiles", text),)
