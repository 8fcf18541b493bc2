"""Events in memory: images stay uint8, and are scaled to the range of their domain by the batch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from energan.core import Batch, DataError, Domain

if TYPE_CHECKING:
    from energan.data.feed import Feed

CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Source:
    """All that a source holds, before the settings are applied.

    events: uint8 images (N, C, H, W), float images (N, C, H, W), or float32 points (N, D).
    labels: int64 (N,) in [0, classes), or None.
    held_out: how many are kept from training unless the user says otherwise.
    order: a permutation (N,) to read the events in; None reads them as they stand. The last events
        in that order are the ones held out.
    low, high: the range float images came in; None for uint8 and for points.
    """

    name: str
    events: Tensor
    labels: Tensor | None = None
    held_out: int = 0
    order: Tensor | None = None
    low: float | None = None
    high: float | None = None
    modes: Tensor | None = None
    mode_std: float | None = None


@dataclass(frozen=True, eq=False)
class DataSet:
    """Real events, their labels, and those kept from training.

    events: uint8 (N, C, H, W), scaled when gathered; or float32 (N, *event), already in the range.
    labels: int64 (N,) in [0, domain.classes), or None.
    domain: shape and range; its mean is that of the training events, also in `held_out`, and None
        in a test split.
    held_out: a data set of its own; None if nothing was kept.
    modes, mode_std: the centres (K, D) and the standard deviation around each, of toys that have
        them; label k then means mode k.

    Raises DataError if the parts do not fit together.
    """

    name: str
    events: Tensor
    domain: Domain
    labels: Tensor | None = None
    held_out: "DataSet | None" = None
    modes: Tensor | None = None
    mode_std: float | None = None
    skipped: tuple[tuple[str, str], ...] = ()

    def feed(
        self,
        seeds: Sequence[int],
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        stream: str = "train",
        conditions: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> "Feed":
        """Batches in the order of `seeds`; see Feed."""
        from energan.data.feed import Feed

        return Feed(self, seeds, batch_size, dtype, stream, conditions, share)

    def __post_init__(self) -> None:
        if tuple(self.events.shape[1:]) != self.domain.shape:
            raise DataError(
                f"{self.name}: events of shape {tuple(self.events.shape[1:])} do not fit a domain "
                f"of shape {self.domain.shape}"
            )
        unbounded = self.domain.low is None or self.domain.high is None
        if self.events.dtype == torch.uint8 and unbounded:
            raise DataError(f"{self.name}: uint8 events need a domain with a range")
        if self.labels is not None and len(self.labels) != len(self.events):
            raise DataError(f"{self.name}: {len(self.labels)} labels for {len(self.events)} events")

    def __len__(self) -> int:
        return len(self.events)

    def gather(
        self, indices: Tensor, dtype: torch.dtype = torch.float32, conditions: bool = False
    ) -> Batch:
        """The events at `indices`, of shape (B,) or (M, B): x (B, *event) or (M, B, *event).

        x is in the domain's range, on the device of the data. With `conditions` the batch carries
        the labels, int64 of the indices' shape. Raises DataError if they are asked for and the
        set has none.
        """
        flat = indices.reshape(-1).to(self.events.device)
        rows = self.events.index_select(0, flat)
        x = rescale(rows, self.domain, dtype) if rows.dtype == torch.uint8 else rows.to(dtype)
        condition = None
        if conditions:
            if self.labels is None:
                raise DataError(
                    f"{self.name} has no labels to condition on: use a source with labels, or a "
                    "model without conditions"
                )
            condition = self.labels.index_select(0, flat).reshape(indices.shape)
        return Batch(x.reshape(*indices.shape, *self.domain.shape), condition)

    def to(self, device: torch.device | str) -> "DataSet":
        """The same data on `device`, the held-out part with it; the domain's mean stays put."""
        return replace(
            self,
            events=self.events.to(device),
            labels=None if self.labels is None else self.labels.to(device),
            held_out=None if self.held_out is None else self.held_out.to(device),
            modes=None if self.modes is None else self.modes.to(device),
        )

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of events, labels, shapes and range: what training sees, wherever it lives.

        The held-out part has a fingerprint of its own.
        """
        digest = hashlib.sha256()
        for part in (self.events, self.labels):
            if part is None:
                digest.update(b"none")
                continue
            digest.update(f"{part.dtype} {tuple(part.shape)};".encode())
            for chunk in part.split(CHUNK):
                digest.update(chunk.cpu().contiguous().reshape(-1).numpy())
        digest.update(f"{self.domain.low} {self.domain.high} {self.domain.classes}".encode())
        return digest.hexdigest()


def rescale(raw: Tensor, domain: Domain, dtype: torch.dtype) -> Tensor:
    """uint8 images as `dtype` in the domain's range: 0 is exactly its low end, 255 its high end."""
    assert domain.low is not None
    assert domain.high is not None
    return raw.to(dtype).div_(255 / (domain.high - domain.low)).add_(domain.low)


def mean_event(events: Tensor, domain: Domain) -> Tensor:
    """The mean of `events` in the domain's range, float32 (*event,), without a float copy."""
    total = torch.zeros(domain.shape, dtype=torch.float64)
    for chunk in events.split(CHUNK):
        total += chunk.sum(0, dtype=torch.float64)
    mean = total / len(events)
    return (rescale(mean, domain, mean.dtype) if events.dtype == torch.uint8 else mean).float()
