"""DiffAugment (Zhao et al. 2020): D sees augmented images only, real and fake alike.

    L_D and L_G with U(T(x)) and U(T(G(z))) in the place of U(x) and U(G(z)), T drawn anew each time

T is differentiable, so that G learns through it. It is never told that augmented images are right.
The amounts are those of the authors' code, which are for [−1, 1]; other ranges scale them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from energan.core import (
    Batch,
    Context,
    Domain,
    Draw,
    Energy,
    Loss,
    Objective,
    Randomness,
    Scored,
    SettingError,
    State,
    Stream,
    exact,
)

Augmentation = Literal["colour", "translation", "cutout"]


def colour(x: Tensor, draws: Tensor, low: float, high: float) -> Tensor:
    """Brightness ± a quarter of the range, saturation 0 to 2, contrast 0.5 to 1.5: draws (B, 3)."""
    brightness, saturation, contrast = draws[:, :, None, None, None].unbind(1)
    x = x + (brightness - 0.5) * (high - low) / 2
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * 2 * saturation
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def translation(x: Tensor, draws: Tensor, low: float, high: float) -> Tensor:
    """Moved by up to an eighth of each side, the rest filled with the middle of the range."""
    height, width = x.shape[2:]
    rows, columns = (
        torch.arange(side, device=x.device) + _whole(draws[:, i], -(side // 8), side // 8)[:, None]
        for i, side in enumerate((height, width))
    )
    inside = _within(rows, 0, height)[:, :, None] & _within(columns, 0, width)[:, None, :]
    place = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    index = place.flatten(1)[:, None].expand(-1, x.shape[1], -1)
    moved = x.flatten(2).gather(2, index).view(x.shape)
    return torch.where(inside[:, None], moved, (low + high) / 2)


def cutout(x: Tensor, draws: Tensor, low: float, high: float) -> Tensor:
    """A rectangle of half of each side, anywhere, filled with the middle of the range."""
    covered = []
    for i, side in enumerate(x.shape[2:]):
        size = side // 2
        start = _whole(draws[:, i], 0, side - size % 2) - size // 2
        at = torch.arange(side, device=x.device)
        covered.append((at >= start[:, None]) & (at < start[:, None] + size))
    rows, columns = covered
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], (low + high) / 2, x)


def _whole(draws: Tensor, least: int, most: int) -> Tensor:
    """Whole numbers from least to most, uniformly, of draws (B,) on [0, 1)."""
    return least + (draws * (most - least + 1)).long().clamp_max(most - least)


def _within(at: Tensor, low: int, high: int) -> Tensor:
    return (at >= low) & (at < high)


FUNCTIONS: dict[str, Callable[[Tensor, Tensor, float, float], Tensor]] = {
    "colour": colour,
    "translation": translation,
    "cutout": cutout,
}


@dataclass(frozen=True)
class DiffAugment:
    """T(x) of images x (..., B, C, H, W) in [low, high]: those named, in the order of FUNCTIONS."""

    names: tuple[Augmentation, ...]
    low: float
    high: float

    def __call__(self, x: Tensor, randomness: Randomness) -> Tensor:
        return self.pair(x, x[..., :0, :, :], randomness)[0]

    def pair(self, x: Tensor, source: Tensor, randomness: Randomness) -> tuple[Tensor, Tensor]:
        """T of x and of the image (..., B, C', H, W) that it belongs to: moved and cut out alike,
        and the colours of x alone."""
        # the members' of a cohort behind one another
        images, beside = exact(x).flatten(0, -4), exact(source).flatten(0, -4)
        for name, function in FUNCTIONS.items():
            if name not in self.names:
                continue
            draws = randomness.uniform(0, 1, x.shape[-4], 3).flatten(0, -2)
            if name == "colour":
                images = function(images, draws, self.low, self.high)
            else:
                both = function(torch.cat([images, beside], 1), draws, self.low, self.high)
                images, beside = both.split([images.shape[1], beside.shape[1]], 1)
        return images.reshape(x.shape), beside.reshape(source.shape)


Augment = Callable[[Tensor, Randomness], Tensor]
"""(x, randomness) -> T(x)."""


class AugmentedEnergy(Energy):
    """U(T(x)), T drawn anew in every call; of pairs of images T is that of the pair. scored: the
    energies of each stream's first call."""

    def __init__(self, energy: Energy, augment: Augment, randomness: Randomness) -> None:
        super().__init__()
        self.energy, self.augment, self.randomness = energy, augment, randomness
        self.nonnegative = energy.nonnegative
        self.scored: dict[Stream, Tensor] = {}

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        if isinstance(self.augment, DiffAugment) and condition is not None and condition.dim() > 3:
            x, condition = self.augment.pair(x, condition, self.randomness)
        else:
            x = self.augment(x, self.randomness)
        seen: Scored = self.energy(x, condition, stream=stream)
        self.scored.setdefault(stream, seen.energy.detach())
        return seen


class Augmented(Objective):
    """Another objective, of an energy that sees augmented images alone. Gradients in x, as of
    penalties, are of U(T(x)); evaluation and scores are of U(x). What the other carries from step
    to step is carried."""

    def __init__(self, objective: Objective, augment: Augment) -> None:
        self.objective, self.augment = objective, augment
        self.equilibrium, self.settles_at = objective.equilibrium, objective.settles_at

    def check(self, energy: Energy) -> None:
        self.objective.check(energy)

    def init(self, context: Context) -> State:
        return self.objective.init(context)

    @property
    def state(self) -> State:
        return self.objective.state

    @state.setter
    def state(self, state: State) -> None:
        self.objective.state = state

    def seen(self, energy: Energy, context: Context) -> AugmentedEnergy:
        """The energy of augmented images."""
        return AugmentedEnergy(energy, self.augment, context.generator)

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        return self.objective.energy_loss(self.seen(energy, context), batch, draw, context)

    def sampler_loss(self, energy: Energy, batch: Batch, draw: Draw, context: Context) -> Loss:
        return self.objective.sampler_loss(self.seen(energy, context), batch, draw, context)


def augmented(objective: Objective, names: Sequence[Augmentation], domain: Domain) -> Objective:
    """The objective on augmented images; itself where no augmentation is named.

    Raises SettingError for data that is no images, or of no known range.
    """
    if not names:
        return objective
    return Augmented(objective, DiffAugment(tuple(names), *image_range(domain)))


def image_range(domain: Domain) -> tuple[float, float]:
    """The range of images to augment. Raises SettingError for data that cannot be."""
    if len(domain.shape) != 3:
        raise SettingError(
            f"model.augment is for images, and the data holds points of shape {domain.shape}: "
            "leave it unset"
        )
    if domain.low is None or domain.high is None:
        raise SettingError(
            "model.augment needs images with a known range: set data.range to signed or unit"
        )
    return domain.low, domain.high
