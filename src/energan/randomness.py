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
    """

    def __init__(
        self,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if not seeds:
            raise ValueError("Randomness needs at least one seed")
        self.seeds = tuple(seeds)
        self.device = torch.device(device)
        self.dtype = dtype
        self.generators = [torch.Generator(self.device) for _ in self.seeds]
        self.at("start")

    @property
    def members(self) -> int:
        return len(self.seeds)

    def at(self, *place: object) -> "Randomness":
        """Move to `place`; returns itself."""
        for seed, generator in zip(self.seeds, self.generators, strict=True):
            generator.manual_seed(place_seed(seed, *place))
        return self

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws."""
        return self._draw(
            lambda g: torch.randn(shape, generator=g, device=self.device, dtype=self.dtype)
        )

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform draws on [low, high)."""
        return (
            self._draw(
                lambda g: torch.rand(shape, generator=g, device=self.device, dtype=self.dtype)
            )
            .mul_(high - low)
            .add_(low)
        )

    def keep(self, probability: float, *shape: int) -> Tensor:
        """A mask that is True with `probability`."""
        # rand and a comparison: bernoulli_ with a generator is four times slower on the CPU.
        return self._draw(
            lambda g: torch.rand(shape, generator=g, device=self.device) < probability
        )

    def _draw(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        if len(self.generators) == 1:
            return draw(self.generators[0])
        return torch.stack([draw(g) for g in self.generators])


def place_seed(seed: int, *place: object) -> int:
    """A 63-bit seed for one place in one run, from a hash: neighbouring places are unrelated."""
    text = "/".join(str(p) for p in (seed, *place))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
