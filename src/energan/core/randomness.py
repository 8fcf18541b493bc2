"""Random draws as a function of (seed, place): nothing about them needs saving."""

import hashlib
from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor

AT_ONCE, LEAST = 2**11, 16
"""Of samples that are drawn together: their numbers, and at least so many samples."""


class Randomness:
    """Random numbers that depend only on (seed, place), with one generator per seed.

    `at(step, "train")` moves to a place. The numbers drawn from there are the same whenever that
    place is visited, so checkpoints store no generator state. Shapes are those of a single run;
    with M > 1 seeds results are (M, *shape), and each row is what the run of that seed alone
    would draw.

    Args:
        seeds: seeds of the runs that train together.
        device: device of the results.
        dtype: floating point type of the results.
        share: (rank, number of processes) that train together. At a place with `split=True`, the
            first dimension of a shape is the batch, and each process receives its part of what
            one process would draw for the whole batch.

    Raises:
        ValueError: without a seed.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if not seeds:
            raise ValueError("Randomness needs at least one seed")
        self.seeds = tuple(seeds)
        self.device = torch.device(device)
        self.dtype = dtype
        self.share = share
        self._split = False
        self.generators = [torch.Generator(self.device) for _ in self.seeds]
        self.at("start")

    @property
    def members(self) -> int:
        """Number of seeds, M."""
        return len(self.seeds)

    def at(self, *place: object, split: bool = False) -> "Randomness":
        """Move to a place, and return this object.

        Args:
            place: names and numbers that identify the place.
            split: whether processes that train together share what is drawn there.
        """
        self._split = split
        for seed, generator in zip(self.seeds, self.generators, strict=True):
            generator.manual_seed(place_seed(seed, *place))
        return self

    def normal(self, *shape: int) -> Tensor:
        """Draw from the standard normal distribution."""
        return self._draw(lambda part, g: part.normal_(generator=g), self.dtype, shape)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw uniformly from [low, high)."""
        drawn = self._draw(lambda part, g: part.uniform_(generator=g), self.dtype, shape)
        return drawn.mul_(high - low).add_(low)

    def keep(self, probability: float | Sequence[float], *shape: int) -> Tensor:
        """Draw a mask that is True with this probability.

        Args:
            probability: one for all seeds, or one for each; a seed whose own is 1 draws nothing.
            shape: shape of the mask.
        """
        # uniform and a comparison: bernoulli_ with a generator is four times slower on the CPU.
        if isinstance(probability, float | int):
            drawn = self._draw(lambda part, g: part.uniform_(generator=g), torch.float32, shape)
            return drawn < probability
        certain = {g for g, p in zip(self.generators, probability, strict=True) if p == 1}

        def fill(part: Tensor, g: torch.Generator) -> Tensor:
            return part.zero_() if g in certain else part.uniform_(generator=g)

        drawn = self._draw(fill, torch.float32, shape)
        limits = torch.tensor(probability, dtype=torch.float32, device=self.device)
        return drawn < limits.view(-1, *[1] * len(shape))

    def several(self, times: int, low: float, high: float, count: int, *event: int) -> Tensor:
        """Draw uniformly from [low, high), (times, count, *event)."""
        return self.uniform(low, high, times * count, *event).view(times, count, *event)

    def order(self, count: int, *of: object) -> Tensor:
        """Draw a random permutation of `count` numbers."""
        return self.uniform(0, 1, count).argsort()

    def _draw(
        self,
        fill: Callable[[Tensor, torch.Generator], Tensor],
        dtype: torch.dtype,
        shape: tuple[int, ...],
    ) -> Tensor:
        """(*shape), or (M, *shape) of several members, each part filled by its own generator."""
        rank, ranks = self.share if self._split else (0, 1)
        each = (ranks * shape[0], *shape[1:]) if ranks > 1 else shape
        drawn = torch.empty((self.members, *each), dtype=dtype, device=self.device)
        for part, generator in zip(drawn, self.generators, strict=True):
            fill(part, generator)
        if ranks > 1:
            drawn = drawn[:, rank * shape[0] : (rank + 1) * shape[0]]
        return drawn[0] if self.members == 1 else drawn


class PerSample(Randomness):
    """Random numbers for samples: those of sample i depend on (seed, place, i), not on how many
    samples there are.

    The first dimension of a shape counts samples. They are drawn in groups of fixed size with
    one generator per group, since a generator per sample would be slow.

    Args:
        seed: seed of the samples.
        event: shape of one sample, which determines the size of a group.
        device: device of the results.
    """

    def __init__(self, seed: int, event: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.group = LEAST * max(1, AT_ONCE // (LEAST * prod(event)))
        super().__init__([seed], device)

    def at(self, *place: object, split: bool = False) -> "PerSample":
        self._place, self.generators = place, []
        return self

    def several(self, times: int, low: float, high: float, count: int, *event: int) -> Tensor:
        return torch.stack([self.uniform(low, high, count, *event) for _ in range(times)])

    def order(self, count: int, *of: object) -> Tensor:
        """Draw a permutation of `count` numbers that are not samples; it depends on `of` too."""
        return Randomness(self.seeds, self.device).at(*self._place, "order", *of).order(count)

    def _draw(
        self,
        fill: Callable[[Tensor, torch.Generator], Tensor],
        dtype: torch.dtype,
        shape: tuple[int, ...],
    ) -> Tensor:
        drawn = torch.empty(shape, dtype=dtype, device=self.device)
        for number, part in enumerate(drawn.split(self.group)):
            if number == len(self.generators):
                self.generators.append(torch.Generator(self.device))
                self.generators[-1].manual_seed(place_seed(self.seeds[0], *self._place, number))
            if len(part) == self.group:
                fill(part, self.generators[number])
            else:
                whole = part.new_empty(self.group, *shape[1:])
                part.copy_(fill(whole, self.generators[number])[: len(part)])
        return drawn


def place_seed(seed: int, *place: object) -> int:
    """Hash a seed and a place to a 63-bit seed, so that neighbouring places are unrelated."""
    text = "/".join(str(p) for p in (seed, *place))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
