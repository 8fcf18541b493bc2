"""Adaptive discriminator augmentation, ADA (Karras et al. 2020): as much as D needs, and no more.

Each of these changes an image with probability p, by its own draw, in this order:

    flip left to right, quarter turns, a move by up to 1/8 of each side          (pixel blitting)
    size by 2^N(0, 0.2²), rotation, aspect by 2^N(0, 0.2²), rotation, a move by N(0, 1/8²) of a side
    brightness by N(0, 0.2²), contrast by 2^N(0, 0.5²), light to dark, hue, saturation by 2^N(0, 1)

p is moved after every fourth batch, so far that it goes from 0 to 1 in `images` images:

    p ← p + sign(r − 0.6)·(images seen)/images,     r = E sign D(x) of augmented data,   D = −U

r is 0 where D tells nothing and 1 where it has learnt the data by heart. Of losses of pairs D's
level means nothing, and r = E sign(U(G(z)) − U(x)). What p leaves at 0.8 or less is not learnt by
G as if it were data.
"""

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from energan.core import (
    Batch,
    Context,
    Draw,
    Energy,
    Loss,
    Objective,
    Randomness,
    SettingError,
    State,
    exact,
)
from energan.objectives.augmented import Augmented, AugmentedEnergy

TARGET, EVERY = 0.6, 4
IMAGES = 500_000
DRAWS = 24
"""Numbers drawn for each image: uniform ones, and as many normal ones."""


@dataclass(frozen=True)
class AdaptiveAugment:
    """T(x) of images x (..., B, C, H, W) in [low, high], at the probability p (M,)."""

    low: float
    high: float
    p: Tensor

    def __call__(self, x: Tensor, randomness: Randomness) -> Tensor:
        count = x.shape[-4]
        images = exact(x).flatten(0, -4)  # the members' of a cohort behind one another
        p = self.p.repeat_interleave(count).to(images)
        uniform, normal = (
            drawn.flatten(0, -2).to(images)
            for drawn in (randomness.uniform(0, 1, count, DRAWS), randomness.normal(count, DRAWS))
        )
        height, width = x.shape[-2:]
        images = warp(images, geometry(uniform, normal, p, height, width))
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        images = middle + half * recolour((images - middle) / half, uniform, normal, p)
        return images.reshape(x.shape)


def geometry(uniform: Tensor, normal: Tensor, p: Tensor, height: int, width: int) -> Tensor:
    """Where each image takes its pixels from: affine maps (B, 2, 3) of places about its middle, in
    pixels. uniform, normal: draws (B, DRAWS); p: (B,)."""
    on = uniform[:, :9] < p[:, None]
    nothing, one = torch.zeros_like(p), torch.ones_like(p)
    sides = p.new_tensor([width, height])
    found = torch.eye(3, device=p.device, dtype=p.dtype).expand(len(p), 3, 3)

    def apply(a: Tensor, b: Tensor, c: Tensor, d: Tensor, move: Tensor | None = None) -> None:
        nonlocal found
        right, down = (nothing, nothing) if move is None else move.unbind(1)
        rows = [a, b, right, c, d, down, nothing, nothing, one]
        found = found @ torch.stack(rows, 1).view(-1, 3, 3)

    def turn(angle: Tensor) -> None:
        apply(angle.cos(), -angle.sin(), angle.sin(), angle.cos())

    flip = torch.where(on[:, 0] & (uniform[:, 9] < 0.5), -one, one)
    apply(flip, nothing, nothing, one)
    turn(torch.where(on[:, 1], (uniform[:, 10] * 4).floor() * pi / 2, 0))
    whole = ((uniform[:, 11:13] * 2 - 1) * sides / 8).round()
    apply(one, nothing, nothing, one, torch.where(on[:, 2, None], whole, 0))
    size = torch.where(on[:, 3], (0.2 * normal[:, 0]).exp2(), 1)
    apply(size, nothing, nothing, size)
    turned = uniform[:, 7:9] < 1 - (1 - p[:, None]).clamp_min(0).sqrt()  # one of two with p
    angles = torch.where(turned, (uniform[:, 13:15] * 2 - 1) * pi, 0)
    turn(angles[:, 0])
    aspect = torch.where(on[:, 4], (0.2 * normal[:, 1]).exp2(), 1)
    apply(aspect, nothing, nothing, 1 / aspect)
    turn(angles[:, 1])
    apply(one, nothing, nothing, one, torch.where(on[:, 5, None], normal[:, 2:4] * sides / 8, 0))
    return found[:, :2]


def warp(x: Tensor, maps: Tensor) -> Tensor:
    """Images (B, C, H, W) with the pixels of the places that affine maps (B, 2, 3) give, bilinear,
    reflected at the border. By gathering: penalties need its second derivative."""
    height, width = x.shape[2:]
    down, right = (
        torch.arange(side, device=x.device, dtype=x.dtype) - (side - 1) / 2
        for side in (height, width)
    )
    places = torch.stack([right.repeat(height), down.repeat_interleave(width)])  # (2, H·W)
    columns, rows = (maps[:, :, :2] @ places + maps[:, :, 2:]).unbind(1)
    columns, rows = columns + (width - 1) / 2, rows + (height - 1) / 2
    flat, found = x.flatten(2), torch.zeros_like(x.flatten(2))
    # a quarter turn lands on whole pixels, but for rounding
    for i, row_share in _corners(rows, height):
        for j, column_share in _corners(columns, width):
            index = (i * width + j)[:, None].expand(-1, x.shape[1], -1)
            found = found + flat.gather(2, index) * (row_share * column_share)[:, None]
    return found.view(x.shape)


def _corners(at: Tensor, side: int) -> list[tuple[Tensor, Tensor]]:
    """The two whole numbers beside each of `at`, reflected into 0 to side − 1, and their shares."""
    at = torch.where((at - at.round()).abs() < 1e-4, at.round(), at)
    before = at.floor()
    period = max(1, 2 * (side - 1))
    found = []
    for whole, share in ((before, 1 - (at - before)), (before + 1, at - before)):
        folded = whole.long().remainder(period)
        found.append((torch.minimum(folded, period - folded).clamp_max(side - 1), share))
    return found


def recolour(x: Tensor, uniform: Tensor, normal: Tensor, p: Tensor) -> Tensor:
    """Images (B, C, H, W) in [−1, 1] with other colours; hue and saturation of three channels."""
    on = uniform[:, 15:20] < p[:, None]
    brightness = torch.where(on[:, 0], 0.2 * normal[:, 4], 0)
    contrast = torch.where(on[:, 1], (0.5 * normal[:, 5]).exp2(), 1)
    dark = torch.where(on[:, 2] & (uniform[:, 20] < 0.5), -1.0, 1.0).to(x)
    b, c, d = (v[:, None, None, None] for v in (brightness, contrast, dark))
    x = c * (x + b)
    light = x.mean(1, keepdim=True)
    if x.shape[1] != 3:
        return x + (d - 1) * light
    colour = x - light
    angle = torch.where(on[:, 3], (uniform[:, 21] * 2 - 1) * pi, 0)[:, None, None, None]
    saturation = torch.where(on[:, 4], normal[:, 6].exp2(), 1)[:, None, None, None]
    # about the grey axis: of a vector across it, v·cos + (axis × v)·sin
    across = (colour.roll(1, 1) - colour.roll(-1, 1)) / 3**0.5
    return d * light + saturation * (angle.cos() * colour + angle.sin() * across)


def _unchanged(x: Tensor, randomness: Randomness) -> Tensor:
    return x


class AdaptivelyAugmented(Augmented):
    """Another objective, of an energy that sees images augmented with a probability p that follows
    how well D knows the data. pairs: whether r compares data with samples. images: as above.

    What it carries from step to step: p, and the signs since p last moved.
    """

    OWN = ("augment_p", "augment_signs", "augment_images", "augment_batches")

    def __init__(
        self, objective: Objective, low: float, high: float, *, pairs: bool, images: int = IMAGES
    ) -> None:
        super().__init__(objective, _unchanged)
        self.low, self.high, self.pairs, self.images = low, high, pairs, images

    def check(self, energy: Energy) -> None:
        super().check(energy)
        if energy.nonnegative:
            raise SettingError(
                "model.augment adaptive needs logits whose sign tells real from fake, which the "
                f"energy of {type(energy).__name__} does not give: use colour translation cutout"
            )

    def init(self, context: Context) -> State:
        nothing = torch.zeros(context.members, device=context.generator.device)
        return {**super().init(context), **dict.fromkeys(self.OWN, nothing)}

    @property
    def state(self) -> State:
        return {**self.objective.state, **self._own}

    @state.setter
    def state(self, state: State) -> None:
        self._own = {name: state[name] for name in self.OWN}
        self.objective.state = {n: v for n, v in state.items() if n not in self.OWN}

    def seen(self, energy: Energy, context: Context) -> AugmentedEnergy:
        augment = AdaptiveAugment(self.low, self.high, self._own["augment_p"])
        return AugmentedEnergy(energy, augment, context.generator)

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        seen, p = self.seen(energy, context), self._own["augment_p"]
        loss = self.objective.energy_loss(seen, batch, draw, context)
        real = context.rows(seen.scored["real"])
        if self.pairs:
            real = real - context.rows(seen.scored["fake"])
        signs = context.gather((-real.sign()).unsqueeze(-1)).flatten(1)  # (M, N)
        self._steer(signs)
        return Loss(loss.total, {**loss.parts, "augment_p": p, "augment_r": signs.mean(1)})

    def _steer(self, signs: Tensor) -> None:
        """Take in the signs of D of a batch (M, N), and move p if it is time."""
        own = self._own
        batches, images = own["augment_batches"] + 1, own["augment_images"] + signs.shape[1]
        total = own["augment_signs"] + signs.sum(1)
        due = batches >= EVERY
        moved = own["augment_p"] + (total / images - TARGET).sign() * images / self.images
        self._own = {
            "augment_p": torch.where(due, moved.clamp(0, 1), own["augment_p"]),
            "augment_signs": torch.where(due, 0, total),
            "augment_images": torch.where(due, 0, images),
            "augment_batches": torch.where(due, 0, batches),
        }
