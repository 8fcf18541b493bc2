"""Pairs of images: a source, and the target that is to be made of it."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from energan.core import Batch, DataError
from energan.data.dataset import DataSet, rescale


@dataclass(frozen=True, eq=False)
class PairSet(DataSet):
    """Targets, which are the events, and the source of each.

    sources: a set of as many images, of the same sides as the targets; the i-th is the i-th
        target's. Of it only the stored images count: the range and the augmentation are the
        targets', so that the two images of a pair are always cut and mirrored alike.
    domain: the targets', with the sources' shape as `condition_shape`.

    Raises DataError if the two do not fit together.
    """

    sources: DataSet | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sources is None or len(self.sources) != len(self):
            count = "no" if self.sources is None else len(self.sources)
            raise DataError(f"{self.name}: {count} sources for {len(self)} targets")
        if self.sources.events.dtype != torch.uint8 or self.events.dtype != torch.uint8:
            raise DataError(f"{self.name}: the images of pairs must be uint8")
        if self.sources.domain.shape != self.domain.condition_shape:
            raise DataError(
                f"{self.name}: sources of shape {self.sources.domain.shape} do not fit a domain "
                f"with conditions of shape {self.domain.condition_shape}"
            )
        sides = self.events.shape[2:], self.sources.events.shape[2:]
        if sides[0] != sides[1]:
            raise DataError(
                f"{self.name}: the targets are {_sides(sides[0])} and their sources "
                f"{_sides(sides[1])}: set the size that both are brought to (data.size)"
            )

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
        targets = _stored(self, flat)
        sources = _stored(self.sources, flat).to(targets.device)  # one may fit on a GPU alone
        both = torch.cat([targets, sources], 1)
        if self.augment:
            both = self.augment(both, None if draws is None else draws.reshape(-1, 3))
        both = rescale(both.to(self.device, non_blocking=True), self.domain, dtype)
        x, condition = both.split([self.domain.shape[0], both.shape[1] - self.domain.shape[0]], 1)
        return Batch(x.unflatten(0, indices.shape), condition.unflatten(0, indices.shape))

    def to(self, device: torch.device | str) -> "PairSet":
        moved = cast(PairSet, super().to(device))
        assert moved.sources is not None
        return moved if moved is self else replace(moved, sources=moved.sources.to(device))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of what training sees: targets, sources, augmentation."""
        assert self.sources is not None
        return hashlib.sha256(
            f"{super().fingerprint} {self.sources.fingerprint}".encode()
        ).hexdigest()


def _stored(data: DataSet, indices: Tensor) -> Tensor:
    indices = indices.to(data.events.device)
    found = data.events.index_select(0, indices if data.rows is None else data.rows[indices])
    if data.release is not None:
        data.release(len(indices))
    return found


def _sides(shape: torch.Size) -> str:
    return f"{shape[1]}x{shape[0]}"
