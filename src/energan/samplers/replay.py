"""The replay buffer: chains that go on where an earlier step left them (Du & Mordatch 2019).

The state is explicit, a dict of tensors that a checkpoint keeps:

    chains  (capacity, *event)  where each chain stands, as bytes or as numbers
    ages    (capacity,)         Langevin steps since it was last started anew
    labels  (capacity,)         what it is a chain of, if the energy is conditioned on labels

Taking chains out and putting them back costs by the batch, not by the capacity: `put` writes into
the state's own tensors.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from energan.core import Randomness, State

AT_ONCE = 2**24
"""Numbers that are drawn together when the buffer is filled."""


@dataclass(frozen=True)
class Replay:
    """Settings of a replay buffer of chains.

    Attributes:
        capacity: number of chains.
        shape: shape of an example.
        low: smallest value of the data, and of the noise that chains start from.
        high: largest value of the data, and of the noise that chains start from.
        packed: whether chains are stored as bytes, 256 levels from low to high: a quarter of the
            memory, for an error of at most 1/510 of the range.
        classes: number of labels; None for none.
    """

    capacity: int
    shape: tuple[int, ...]
    low: float
    high: float
    packed: bool = False
    classes: int | None = None

    def start(self, draws: Randomness) -> State:
        """A buffer of noise, of age 0."""
        if draws.device.type == "meta":
            return self.empty()
        size = torch.Size(self.shape).numel()
        rows = max(1, AT_ONCE // size)
        counts = [min(rows, self.capacity - at) for at in range(0, self.capacity, rows)]
        state = {
            "chains": torch.cat([self.pack(self.noise(draws, count)) for count in counts]),
            "ages": torch.zeros(self.capacity, dtype=torch.int64, device=draws.device),
        }
        if self.classes is not None:
            labels = draws.uniform(0, self.classes, self.capacity).long()  # all classes alike
            state["labels"] = labels.clamp_max(self.classes - 1)
        return state

    def empty(self) -> State:
        """The same without numbers: shapes and types."""
        chains = torch.uint8 if self.packed else torch.float32
        state = {
            "chains": torch.empty(self.capacity, *self.shape, dtype=chains, device="meta"),
            "ages": torch.empty(self.capacity, dtype=torch.int64, device="meta"),
        }
        return state if self.classes is None else {**state, "labels": state["ages"]}

    def noise(self, draws: Randomness, count: int) -> Tensor:
        """Where chains start: uniform over the range, (count, *event)."""
        return draws.uniform(self.low, self.high, count, *self.shape)

    def slots(self, draws: Randomness, count: int, place: tuple[int, int] = (0, 1)) -> Tensor:
        """Different places (count,) of the buffer, one from each of `count` equal parts of it.

        So no two chains of a batch return to one place, and all places are as likely, up to parts
        that cannot be quite equal. place: (rank, ranks), of processes whose batches share the
        buffer. `capacity` must not be less than all of them together.
        """
        rank, ranks = place
        parts = torch.arange(rank * count, (rank + 1) * count + 1, device=draws.device)
        bounds = parts * self.capacity // (count * ranks)
        begin, size = bounds[:-1], bounds.diff()
        within = (draws.uniform(0, 1, count) * size).long()
        return begin + torch.minimum(within, size - 1)  # a product may round up to the size

    def get(self, state: State, slots: Tensor) -> Tensor:
        """The chains x (B, *event) at `slots` (B,), in the range of the data."""
        kept = state["chains"][slots]
        if not self.packed:
            return kept
        return kept.float().mul_((self.high - self.low) / 255).add_(self.low)

    def put(
        self, state: State, slots: Tensor, x: Tensor, ages: Tensor, labels: Tensor | None = None
    ) -> None:
        """Put x (B, *event) back at `slots`, with their ages and labels."""
        state["chains"][slots] = self.pack(x)
        state["ages"][slots] = ages
        if labels is not None:
            state["labels"][slots] = labels

    def pack(self, x: Tensor) -> Tensor:
        """As it is kept."""
        if not self.packed:
            return x
        return x.sub(self.low).mul_(255 / (self.high - self.low)).round_().clamp_(0, 255).byte()
