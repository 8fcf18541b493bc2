"""The distance of features to the nearest ones in a memory: PatchCore (Roth et al. 2022)."""

import torch
from torch import Tensor

from energan.core import Calibrated, Stream, full_precision

KEPT = 0.8
"""Number of candidates held, as a multiple of the coreset, so that it is not chosen anew at each
batch."""
NUMBERS_AT_ONCE = 2**23
"""Number of vectors whose distances are computed in one pass."""


class NearestDistance(Calibrated):
    """Distance of the feature vector in each cell to the nearest stored one, as in PatchCore (Roth
    et al. 2022, eqs 6 and 7).

        s(f) = (1 − exp‖f − m*‖ / Σ exp‖f − m‖) · ‖f − m*‖

    m* is the nearest vector in the memory; the sum runs over m* and its nearest neighbours.
    PatchCore weights the cell with the largest distance only; here all cells are weighted, so
    that the map has the unit of the energy. `observe` keeps a coreset: vectors farther from the
    memory than its radius are added, and a full memory is thinned by `farthest_first`.

    Args:
        size: values in a vector, D.
        capacity: vectors in the memory.
        neighbours: vectors in the sum; 1 for the distance without a weight.
    """

    reads_data = False
    memory: Tensor
    count: Tensor
    radius: Tensor
    near: Tensor

    def __init__(self, size: int, capacity: int, neighbours: int) -> None:
        super().__init__()
        self.capacity, self.neighbours = capacity, neighbours
        self.register_buffer("memory", torch.zeros(capacity, size))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("radius", torch.zeros(()))
        near = torch.zeros(capacity, neighbours, dtype=torch.int64)
        self.register_buffer("near", near)

    @torch.no_grad()
    def observe(self, features: Tensor) -> Tensor:
        """Features (B, D, h, w) -> their mean distance from the memory before; 0 of the first."""
        with full_precision(features):  # else rounding would take what is known for new
            return self._take(features.flatten(2).mT.flatten(0, 1).to(self.memory.dtype))

    def _take(self, rows: Tensor) -> Tensor:
        count = int(self.count)
        own = self.memory[:count]
        told = self.radius.new_zeros(())
        if count:
            distance = torch.cat([self._nearest(part)[0] for part in self._parts(rows)])
            told, rows = distance.mean(), rows[distance > self.radius]
        own = torch.cat([own, rows])
        if len(own) > self.capacity:
            chosen, radius = farthest_first(own, max(int(KEPT * self.capacity), 1))
            own = own[chosen]
            self.radius.copy_(radius)
        self.memory[: len(own)] = own
        self.memory[len(own) :] = 0
        self.count.fill_(len(own))
        return told

    def begin(self) -> None:
        """Nothing is forgotten: what was observed stays."""

    @torch.no_grad()
    def end(self) -> None:
        """Find the neighbours of each vector of the memory."""
        count = int(self.count)
        self.near.copy_(torch.arange(self.capacity, device=self.near.device).unsqueeze(1))
        most = min(self.neighbours, count)
        for start in range(0, count, 1024):
            part = self.memory[start : min(start + 1024, count)]
            far = torch.cdist(part, self.memory[:count])
            here = torch.arange(len(part), device=far.device)
            far[here, start + here] = -1  # itself is the first, whatever else equals it
            self.near[start : start + len(part), :most] = far.topk(most, largest=False).indices

    def forward(self, features: Tensor, stream: Stream) -> Tensor:
        with full_precision(features):
            batch, _, height, width = features.shape
            rows = features.flatten(2).mT.flatten(0, 1)  # (B·h·w, D)
            found = torch.cat([self._weighted(part) for part in self._parts(rows)])
            return found.reshape(batch, height, width)

    def _weighted(self, rows: Tensor) -> Tensor:
        nearest, at = self._nearest(rows)
        if self.neighbours == 1:
            return nearest
        beside = self.memory[self.near[at]]  # (N, b, D), m* first
        distances = torch.linalg.vector_norm(rows.unsqueeze(1) - beside, dim=-1)
        weighted: Tensor = (1 - distances.softmax(1)[:, 0]) * nearest
        return weighted

    def _nearest(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The distance (N,) of each of rows (N, D) to the nearest of the memory, and where it is.

        By the product, which is quick, it is found; its distance is of the difference, which is
        exact where the two are close.
        """
        empty = torch.arange(self.capacity, device=rows.device) >= self.count.clamp_min(1)
        squares = self.memory.square().sum(1).masked_fill(empty, torch.inf)
        at = (squares - 2 * (rows @ self.memory.mT)).argmin(1)
        distance: Tensor = torch.linalg.vector_norm(rows - self.memory[at], dim=1)
        return distance, at

    def _parts(self, rows: Tensor) -> tuple[Tensor, ...]:
        if torch.compiler.is_exporting():  # how many there are is not known
            return (rows,)
        width = max(self.capacity, self.neighbours * rows.shape[1])
        parts: tuple[Tensor, ...] = rows.split(max(1, NUMBERS_AT_ONCE // width))
        return parts


def farthest_first(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose a coreset of points greedily, each next one the farthest from those chosen (Gonzalez
    1985).

    No choice of as many points has less than half its radius. It is the coreset of PatchCore
    (Roth et al. 2022, algorithm 1); the first point is row 0.

    Args:
        points: (N, D).
        count: number of points to choose.

    Returns:
        Row numbers, int64 (count,), and the distance of the farthest other point to them.
    """
    chosen = points.new_zeros(count, dtype=torch.int64)
    squares = points.square().sum(1)
    distance = torch.full_like(squares, torch.inf)  # squared
    for i in range(1, count + 1):
        last = chosen[i - 1]
        to_last = squares + squares[last] - 2 * (points @ points[last])
        to_last[last] = 0
        distance = torch.minimum(distance, to_last)
        if i < count:
            chosen[i] = distance.argmax()
    return chosen, distance.max().clamp_min(0).sqrt()
