"""A network as the sampler that makes an image of another: x = G(source)."""

import torch
from torch import Tensor, nn

from energan.core import Batch, Context, Draw, Energy, Sampler, SettingError, State


class Translator(Sampler):
    """Sampler of image-to-image models, x = G(source); any randomness is in the network (dropout).

    Args:
        network: from sources (B, C', H, W) to images (B, C, H, W).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def learns(self, step: int) -> bool:
        return True

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        if batch.condition is None:
            raise SettingError(
                "this generator translates source images: use data in pairs (data.direction)"
            )
        return Draw(self.network(batch.condition, "fake"), batch.condition), state

    def check(self, height: int, width: int) -> None:
        """Raise SettingError if the network takes no sources of these sides, if it says so."""
        if check := getattr(self.network, "check", None):
            check(height, width)

    def nearest(self, height: int, width: int) -> tuple[int, int]:
        """The sides nearest to these that the network takes; these, if it names none."""
        nearest = getattr(self.network, "nearest", None)
        return (height, width) if nearest is None else nearest(height, width)

    @torch.no_grad()
    def sample(
        self, energy: Energy, count: int, condition: Tensor | None, state: State, context: Context
    ) -> Draw | None:
        """One for each of `count` sources; None without sources, of which nothing can be made."""
        if condition is None:
            return None
        if len(condition) != count:
            raise ValueError(f"{count} images for {len(condition)} sources: ask for one per source")
        return Draw(self.network(condition, "eval"), condition)
