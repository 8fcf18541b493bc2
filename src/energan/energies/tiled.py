"""The energy of a whole image, by an energy of windows: the maximum of a stitched, smoothed map."""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import Domain, Energy, Scored, SettingError, Stream, exact
from energan.energies.smoothing import smooth

SMOOTHING = 1 / 16
"""Standard deviation of the Gaussian that smooths a map, as a fraction of a window's side."""
NUMBERS_AT_ONCE = 2**21
"""Number of windows scored in one pass."""


class Tiled(Energy):
    """Energy of whole images, cut into overlapping windows that another energy scores.

    The map of a window is the one its energy returns, resized; or the squared error of its
    reconstruction, summed over channels; or its energy at every pixel. The map of the image is
    the mean over windows, smoothed by a Gaussian of a sixteenth of a window's side unless the
    energy returns maps. Its maximum is the energy of the image.

    Args:
        energy: energy of a window, (B, C, tile, tile).
        tile: side of a window, in pixels.
        overlap: smallest overlap of neighbouring windows, in pixels.
    """

    def __init__(self, energy: Energy, tile: int, overlap: int) -> None:
        super().__init__()
        self.energy, self.tile, self.overlap = energy, tile, overlap

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        """x (B, C, H, W), no side less than a window's. condition: (B, ...), of each image."""
        if min(x.shape[-2:]) < self.tile:
            raise SettingError(
                f"images of {x.shape[-1]}x{x.shape[-2]} are smaller than the windows of "
                f"{self.tile}x{self.tile}: give larger images"
            )
        tops, lefts = (window_starts(side, self.tile, self.overlap) for side in x.shape[-2:])
        windows = cut(x, tops, lefts, self.tile).flatten(0, 2)  # (B R K, C, s, s)
        if condition is not None:
            condition = condition.repeat_interleave(len(tops) * len(lefts), 0)
        scored = [*self._score(windows, condition, stream)]
        grid = (-1, len(tops), len(lefts))
        found = torch.cat([_map_of(part, one) for part, one in scored])
        whole = stitch(found.unflatten(0, grid), tops, lefts)
        if scored[0][1].map is None:
            whole = smooth(whole, self.tile * SMOOTHING)
        made = [one.reconstruction for _, one in scored if one.reconstruction is not None]
        reconstruction = None
        if made:
            reconstruction = stitch(torch.cat(made).unflatten(0, grid), tops, lefts)
        return Scored(whole.flatten(1).amax(1), reconstruction=reconstruction, map=whole)

    def _score(
        self, windows: Tensor, condition: Tensor | None, stream: Stream
    ) -> Iterator[tuple[Tensor, Scored]]:
        """Windows some at a time, and what the energy says of them."""
        count = max(1, NUMBERS_AT_ONCE // windows[0].numel())
        traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if traced or torch.compiler.is_exporting():  # how many there will be is not known
            yield windows, self.energy(windows, condition, stream=stream)
            return
        for start in range(0, len(windows), count):
            part = windows[start : start + count]
            given = None if condition is None else condition[start : start + count]
            yield part, self.energy(part, given, stream=stream)


def window_starts(side: int, tile: int, overlap: int) -> list[int]:
    """Where windows begin along a side: evenly, as few as share `overlap` pixels at least."""
    count = math.ceil((side - tile) / (tile - overlap))
    return [0, *(round(i * (side - tile) / count) for i in range(1, count + 1))]


def cut(x: Tensor, tops: Sequence[int], lefts: Sequence[int], tile: int) -> Tensor:
    """Windows of images (B, C, H, W): (B, rows, columns, C, tile, tile)."""
    rows = torch.stack([x[..., top : top + tile, :] for top in tops], 1)
    return torch.stack([rows[..., left : left + tile] for left in lefts], 2)


def stitch(windows: Tensor, tops: Sequence[int], lefts: Sequence[int]) -> Tensor:
    """Values of windows (B, rows, columns, ..., s, s) put in place, their mean where they overlap:
    (B, ..., H, W)."""
    across = _join(windows.movedim(2, 0), lefts)  # (B, rows, ..., s, W)
    return _join(across.movedim(1, 0).transpose(-1, -2), tops).transpose(-1, -2)


def _join(pieces: Tensor, starts: Sequence[int]) -> Tensor:
    """Pieces (n, ..., s) at their places along a line, their mean where they overlap."""
    side = pieces.shape[-1]
    total = pieces.new_zeros(*pieces.shape[1:-1], starts[-1] + side)
    count = pieces.new_zeros(starts[-1] + side)
    for piece, start in zip(pieces.unbind(0), starts, strict=True):
        total[..., start : start + side] += piece
        count[start : start + side] += 1
    return total / count


def _map_of(windows: Tensor, scored: Scored) -> Tensor:
    """Values (N, s, s) at the pixels of windows (N, C, s, s)."""
    if scored.map is not None:
        return F.interpolate(exact(scored.map).unsqueeze(1), windows.shape[-2:]).squeeze(1)
    if scored.reconstruction is not None:
        return (exact(scored.reconstruction) - exact(windows)).square().sum(1)
    return exact(scored.energy).view(-1, 1, 1).expand(-1, *windows.shape[-2:])


def judge_of(energy: Energy, domain: Domain, overlap: int) -> Energy:
    """What scores the whole images of a domain: the energy itself, unless it was trained on windows
    and takes no other size."""
    if domain.image_shape is None or energy.fully_convolutional:
        return energy
    return Tiled(energy, domain.shape[-1], overlap)


def describe_judge(energy: Energy, domain: Domain, overlap: int) -> str | None:
    """How an image of a domain gets its energy, if examples are windows; else None."""
    if domain.image_shape is None:
        return None
    height, width = domain.image_shape[1:]
    side = domain.shape[-1]
    if energy.fully_convolutional:
        return f"images of {width}x{height} are scored whole, in one pass"
    rows, columns = (len(window_starts(one, side, overlap)) for one in (height, width))
    return (
        f"the maximum of its map, stitched from {rows * columns} windows of {side}x{side} that "
        f"share {overlap} pixels or more"
    )
