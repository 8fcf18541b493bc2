"""A generator network as the sampler: x = G(z)."""

from typing import Literal

import torch
from torch import Tensor, nn

from energan.core import Batch, Context, Draw, Energy, Randomness, Sampler, State, through

Prior = Literal["normal", "uniform", "uniform-unit-variance"]


def latent(randomness: Randomness, prior: Prior, count: int, size: int) -> Tensor:
    """Draw latents z, (count, size): N(0, I), U(−1, 1), or U(−√3, √3), which has unit variance."""
    if prior == "normal":
        return randomness.normal(count, size)
    bound = 1.0 if prior == "uniform" else 3**0.5
    return randomness.uniform(-bound, bound, count, size)


class Generator(Sampler):
    """Sampler with a generator network, x = G(z).

    Args:
        network: from z (B, latent_size), and labels or conditions if it takes them, to x (B,
            *event).
        latent_size: dimension of z.
        prior: distribution of z; see `latent`.
        until: training step at which the generator stops; None for never.
        at_once: largest number of samples per forward pass in evaluation, for networks with
            large feature maps.
    """

    def __init__(
        self,
        network: nn.Module,
        latent_size: int,
        prior: Prior = "normal",
        *,
        until: int | None = None,
        at_once: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.latent_size = latent_size
        self.prior: Prior = prior
        self.until = until
        self.at_once = at_once

    def learns(self, step: int) -> bool:
        return self.until is None or step < self.until

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        if not self.learns(context.step):
            return None, state
        # batch.x is (B, *event) or (M, B, *event)
        count = batch.x.shape[0 if context.members == 1 else 1]
        z = latent(context.generator, self.prior, count, self.latent_size)
        return Draw(through(self.network, z, batch.condition, "fake"), batch.condition), state

    @torch.no_grad()
    def sample(
        self, energy: Energy, count: int, condition: Tensor | None, state: State, context: Context
    ) -> Draw | None:
        z = latent(context.generator, self.prior, count, self.latent_size)
        at_once, axis = self.at_once or count, z.dim() - 2  # z is (B, L), or (M, B, L) of a cohort
        zs = z.split(at_once, axis)
        conditions = [None] * len(zs) if condition is None else condition.split(at_once, axis)
        parts = [through(self.network, *of, "eval") for of in zip(zs, conditions, strict=True)]
        return Draw(torch.cat(parts, axis), condition)
