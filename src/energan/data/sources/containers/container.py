"""A file that holds many images, of which some are read at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Container:
    """count: of its images. read: (first, number) -> these, (H, W, C), None where one cannot be
    read; from any thread. labels: int64 (count,), or None. chunk: images that are read at a time.
    """

    count: int
    read: Callable[[int, int], Sequence[Array | None]] = field(repr=False)
    labels: Tensor | None = None
    chunk: int = 64
