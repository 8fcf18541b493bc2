"""What a reader of image files gives: the numbers of one image, whatever their type."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from energan.data.source import Half

Array = NDArray[Any]
MOST_BANDS = 16


class Unreadable(Exception):
    """These bytes are no image that can be read; the message says why."""


@dataclass(frozen=True)
class RawImage:
    """pixels: (H, W, C), of any number type. alpha: (H, W), of the same; None where all is opaque.
    pages: how many images the file holds. told: "subject: text" of what its reader did, for facts.
    reduced: how many times wider the file's image is, of which no finer one was decoded.
    bits: that the file says its numbers use, where these are fewer than their type has.
    """

    pixels: Array
    alpha: Array | None = None
    pages: int = 1
    told: tuple[str, ...] = ()
    reduced: float = 1.0
    bits: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def kind(self) -> str:
        """The type of its numbers: uint16, or 12-bit uint16."""
        name = self.pixels.dtype.name
        return name if self.bits is None else f"{self.bits}-bit {name}"

    @property
    def bands(self) -> int:
        return int(self.pixels.shape[2])

    def of(self, pages: int) -> "RawImage":
        return replace(self, pages=pages)

    def cut(self, half: Half | None) -> "RawImage":
        """A half of it. Raises Unreadable for one that is not wider than high, which is no pair."""
        if half is None:
            return self
        width = self.size[0] // 2
        if self.size[0] <= self.size[1]:
            raise Unreadable(
                f"it is {self.size[0]}x{self.size[1]}, so it is not a pair side by side"
            )
        part = slice(0, width) if half == 0 else slice(self.size[0] - width, None)
        alpha = None if self.alpha is None else self.alpha[:, part]
        return replace(self, pixels=self.pixels[:, part], alpha=alpha)

    def turned(self, orientation: int) -> "RawImage":
        """Upright, where a file's tag says how it lies (EXIF 2.3, 4.6.4: Orientation)."""
        if orientation not in TURNS:
            return self
        alpha = None if self.alpha is None else TURNS[orientation](self.alpha)
        return replace(self, pixels=TURNS[orientation](self.pixels), alpha=alpha)


TURNS = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}
