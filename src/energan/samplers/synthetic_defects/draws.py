"""Uniform draws for each of several images, from a table that was drawn before."""

import math

import torch
from torch import Tensor


class Numbers:
    """Draws for n images, each from its own row of a table (n, K) of uniform numbers on [0, 1).

    Each call takes the next columns, so what one image gets does not depend on the others.
    """

    def __init__(self, table: Tensor) -> None:
        self.table, self.used = table, 0

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """On [low, high): (n, *shape), or (n, 1, 1) without a shape, which maps broadcast with."""
        shape = shape or (1, 1)
        count, start = math.prod(shape), self.used
        self.used += count
        assert self.used <= self.table.shape[1], (
            "this kind of defect uses more random numbers than the table holds"
        )
        drawn = self.table[:, start : self.used] * (high - low) + low
        return drawn.reshape(-1, *shape)

    def logarithmic(self, low: float, high: float) -> Tensor:
        """(n, 1, 1) whose logarithm is uniform: as many between 1 and 2 as between 2 and 4."""
        return self.uniform(math.log(low), math.log(max(high, low))).exp()

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, (n, *shape) or (n, 1, 1)."""
        drawn: Tensor = torch.special.ndtri(self.uniform(1e-6, 1 - 1e-6, *shape))
        return drawn

    def chance(self, probability: float) -> Tensor:
        """True with that probability, bool (n, 1, 1)."""
        return self.uniform(0, 1) < probability

    def sign(self, negative: float) -> Tensor:
        """−1 with that probability, else 1: (n, 1, 1)."""
        return 1 - 2 * self.chance(negative).to(self.table.dtype)
