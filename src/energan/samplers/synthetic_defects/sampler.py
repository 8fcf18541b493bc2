"""Training images with synthetic defects in them, and where these are."""

from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from energan.core import (
    Batch,
    Config,
    Context,
    Draw,
    Energy,
    Sampler,
    State,
    full_precision,
)
from energan.samplers.synthetic_defects.draws import Numbers
from energan.samplers.synthetic_defects.kinds import KINDS
from energan.samplers.synthetic_defects.scene import Kind, Scene

NUMBERS = 8192
"""Uniform random numbers that one defect may use; three octaves of Perlin noise take 3,267."""
COVERED, VISIBLE, LEAST = 0.3, 0.2, 0.012
"""A pixel is marked if the defect covers at least this much of it, and changes it by more than this
fraction of the image's standard deviation and of the whole range."""
LEAST_SPREAD = 0.02
"""Smallest standard deviation that an image counts as having, as a fraction of the whole range."""


class DefectSettings(Config):
    """Which synthetic defects are made, and how often each kind."""

    texture: float = Field(
        1, ge=0, description="weight of another texture, in a mask of Perlin noise"
    )
    cut_paste: float = Field(
        1, ge=0, description="weight of a rotated rectangle or bar, pasted elsewhere"
    )
    crack: float = Field(2, ge=0, description="weight of thin lines")
    spot: float = Field(1, ge=0, description="weight of spots of a few pixels")
    smear: float = Field(2, ge=0, description="weight of regions that lose their texture")
    shading: float = Field(
        2, ge=0, description="weight of regions of another brightness, contrast or texture"
    )
    streaks: float = Field(4, ge=0, description="weight of regions brushed or ground differently")
    chip: float = Field(1, ge=0, description="weight of pieces broken off at the border")
    second: float = Field(0.25, ge=0, le=1, description="fraction of images with two defects")
    clean: float = Field(0, ge=0, lt=1, description="fraction of images without a defect")
    opacity: tuple[float, float] = Field(
        (0.6, 1.0), description="range of the defects' opacity: lowest, highest"
    )
    contrast: float = Field(
        0.25, ge=0, lt=1, description="scale the contrast of all images by 1 ± at most this"
    )
    brightness: float = Field(
        0.04,
        ge=0,
        lt=1,
        description="shift the brightness of all images by at most this fraction of the range",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not sum(self.weights.values()):
            raise ValueError(
                "defects: all kinds have weight 0, so there would be none: give one of them a "
                "positive weight"
            )
        if not 0 < self.opacity[0] <= self.opacity[1] <= 1:
            raise ValueError(
                f"defects.opacity {self.opacity[0]:g} {self.opacity[1]:g}: give two numbers "
                "above 0 and up to 1, the smaller first"
            )
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Of each kind, how often it is made beside the others."""
        return {name: getattr(self, name) for name in KINDS}


class SyntheticDefects(Sampler):
    """The batch's own images with defects of several kinds, and the mask of what changed visibly.

    It trains nothing and has no state: a draw is a function of the seed, the step and the batch.
    Images are (B, C, H, W) in [low, high]. What frames an image in the lowest value, as data.fit
    pad does, stays as it is.
    """

    makes_samples = False

    def __init__(self, defects: DefectSettings, low: float, high: float) -> None:
        super().__init__()
        self.defects, self.low, self.high = defects, low, high

    @torch.no_grad()
    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        x, draws = batch.x, context.generator
        if x.is_meta:  # of a step that is only counted: no numbers, so nothing to choose by
            return Draw(x, mask=x.select(-3, 0)), state
        count, shape = x.shape[-4], x.shape[-2:]
        images = x.flatten(0, -4)  # the members' of a cohort behind one another
        with full_precision(x):
            made = self._relight(images, draws.uniform(0, 1, count, 2).flatten(0, -2))
            mask = torch.zeros_like(images[:, 0])
            other = images[_neighbours(draws.order(count))]
            clean = draws.uniform(0, 1, count).flatten() < self.defects.clean
            for share in (1.0, self.defects.second):
                table = draws.uniform(0, 1, count, NUMBERS).flatten(0, -2)
                grain = draws.normal(count, 1, *shape).flatten(0, -4)
                kinds = self._kinds(table[:, 0])
                kinds[clean | (table[:, 1] >= share)] = len(KINDS)
                for number, kind in enumerate(KINDS.values()):
                    rows = (kinds == number).nonzero().flatten()
                    if len(rows):
                        scene = _scene(made[rows], other[rows], grain[rows], self.low, self.high)
                        one, where = self._insert(kind, scene, Numbers(table[rows, 2:]))
                        made[rows], mask[rows] = one, mask[rows].maximum(where)
        return Draw(made.view_as(x), mask=mask.view(x.select(-3, 0).shape)), state

    def _kinds(self, drawn: Tensor) -> Tensor:
        """The number of a kind for each of `drawn` (n,) on [0, 1), by their weights."""
        weights = torch.tensor([*self.defects.weights.values()], dtype=torch.float64)
        ends = (weights.cumsum(0) / weights.sum()).to(drawn)[:-1]
        return torch.searchsorted(ends, drawn.contiguous(), right=True)

    def _relight(self, x: Tensor, drawn: Tensor) -> Tensor:
        """Images of another contrast and brightness, by drawn (n, 2) on [0, 1)."""
        gain, shift = (2 * drawn - 1).view(-1, 2, 1, 1, 1).unbind(1)
        gain = self.defects.contrast * gain
        shift = self.defects.brightness * (self.high - self.low) * shift
        lit = (x + (x - self.low) * gain + shift).clamp(self.low, self.high)
        return torch.where(_inside(x, self.low), lit, x)

    def _insert(self, kind: Kind, scene: Scene, u: Numbers) -> tuple[Tensor, Tensor]:
        """The images (n, C, H, W) with a defect, and where they changed visibly, (n, H, W)."""
        opacity = u.uniform(*self.defects.opacity)[:, None]
        made, cover = kind(scene, u)
        cover = torch.where(scene.inside[:, 0], cover, 0.0)
        made = torch.lerp(scene.x, made, cover[:, None] * opacity).clamp(self.low, self.high)
        change = (made - scene.x).abs().mean(1, keepdim=True)
        around = F.avg_pool2d(change, 5, 1, 2, count_include_pad=False)
        change = change.maximum(around)  # where values happen to agree too
        visible = change > (VISIBLE * scene.spread).clamp_min(LEAST * (self.high - self.low))
        return made, ((cover > COVERED) & visible[:, 0]).to(made.dtype)


def _neighbours(order: Tensor) -> Tensor:
    """From random orders of each member's images, (B,) or (M, B): for each of all M·B the place of
    the one before it in its order, which is another one unless it is alone."""
    order = order.view(-1, order.shape[-1])
    before = torch.empty_like(order).scatter_(1, order, order.roll(1, 1))
    start = torch.arange(len(order), device=order.device) * order.shape[1]
    return (before + start[:, None]).flatten()


def _inside(x: Tensor, low: float) -> Tensor:
    """What is not a frame of the lowest value: bool (n, 1, H, W), all of an image that has no
    other."""
    filled = (x > low).any(1, keepdim=True)
    rows, columns = filled.any(3, keepdim=True), filled.any(2, keepdim=True)
    rows, columns = (_between(rows, 2), _between(columns, 3))
    inside = rows & columns
    return inside | ~inside.any((2, 3), keepdim=True)


def _between(marks: Tensor, axis: int) -> Tensor:
    """From the first to the last mark along an axis."""
    counts = marks.int()
    after = counts.flip(axis).cumsum(axis).flip(axis) > 0
    return (counts.cumsum(axis) > 0) & after


def _scene(x: Tensor, other: Tensor, grain: Tensor, low: float, high: float) -> Scene:
    inside = _inside(x, low)
    count = inside.sum((2, 3), keepdim=True) * x.shape[1]
    seen = torch.where(inside, x, 0.0)
    mean = seen.sum((1, 2, 3), keepdim=True) / count
    squares = torch.where(inside, x - mean, 0.0).square().sum((1, 2, 3), keepdim=True)
    spread = (squares / count).sqrt().clamp_min(LEAST_SPREAD * (high - low))
    return Scene(x, other, grain, spread, inside)
