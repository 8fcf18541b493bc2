"""Random draws as a function of (seed, place): nothing about them needs saving."""

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Randomness:
    """Random draws that depend on (seed, place) and nothing else: one generator for each member.

    `at(step, "train")` moves to a place; draws from there on repeat exactly whenever the same place
    is visited, so no generator state needs saving. Shapes are one member's; with M > 1 members the
    result has a leading axis (M, *shape), each row as that member's own single run would draw it.

    share: (rank, ranks) of a process that trains with others. Where a place is split among them the
    first axis of a shape is the batch: rank r gets the r-th part of what one process would draw for
    the batches of all.
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
        return len(self.seeds)

    def at(self, *place: object, split: bool = False) -> "Randomness":
        """Move to `place`; returns itself. split: whether the ranks share what is drawn there."""
        self._split = split
        for seed, generator in zip(self.seeds, self.generators, strict=True):
            generator.manual_seed(place_seed(seed, *place))
        return self

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws."""
        return self._draw(
            lambda g, s: torch.randn(s, generator=g, device=self.device, dtype=self.dtype), shape
        )

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform draws on [low, high)."""
        return (
            self._draw(
                lambda g, s: torch.rand(s, generator=g, device=self.device, dtype=self.dtype), shape
            )
            .mul_(high - low)
            .add_(low)
        )

    def keep(self, probability: float, *shape: int) -> Tensor:
        """A mask that is True with `probability`."""
        # rand and a comparison: bernoulli_ with a generator is four times slower on the CPU.
        return self._draw(
            lambda g, s: torch.rand(s, generator=g, device=self.device) < probability, shape
        )

    def _draw(
        self, draw: Callable[[torch.Generator, tuple[int, ...]], Tensor], shape: tuple[int, ...]
    ) -> Tensor:
        rank, ranks = self.share if self._split else (0, 1)
        if ranks > 1:
            whole, own = (ranks * shape[0], *shape[1:]), slice(rank * shape[0], None)
            parts = [draw(g, whole)[own][: shape[0]] for g in self.generators]
        else:
            parts = [draw(g, shape) for g in self.generators]
        return parts[0] if len(parts) == 1 else torch.stack(parts)


def place_seed(seed: int, *place: object) -> int:
    """A 63-bit seed for one place in one run, from a hash: neighbouring places are unrelated."""
    text = "/".join(str(p) for p in (seed, *place))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
