"""DiffAugment by hand, against slices of padded images, and what it leaves alone."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from energan.core import (
    Batch,
    Context,
    Domain,
    Draw,
    Energy,
    Model,
    Randomness,
    Scored,
    SettingError,
    Stream,
)
from energan.models import dcgan, ebgan_conv, gan, pix2pix
from energan.objectives import Contrastive, Logistic
from energan.objectives.augmented import (
    Augmented,
    DiffAugment,
    augmented,
    colour,
    cutout,
    translation,
)

SIDES = st.integers(1, 17)
UNIT = st.floats(0, 1, exclude_max=True, width=32)
EVERY = ("colour", "translation", "cutout")
IMAGES = Domain((3, 8, 8), -1.0, 1.0)


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def context(seeds: Sequence[int] = (0,)) -> Context:
    return Context(0, {}, Randomness(seeds, dtype=torch.float64).at(0, "train"))


# --- the three, by their definitions --------------------------------------------------------------


def test_colour_by_hand() -> None:
    """An image of two pixels and two channels, on [0, 1]: brightness first, contrast last."""
    x = torch.tensor([[[[0.2, 0.6]], [[0.4, 0.8]]]], dtype=torch.float64)
    draws = torch.tensor([[0.9, 0.25, 0.75]], dtype=torch.float64)  # + 0.2, half, 1.25 times
    # brighter: 0.4, 0.8 and 0.6, 1.0; means over channels 0.5, 0.9; half as far from them:
    # 0.45, 0.85 and 0.55, 0.95; mean 0.7, and 1.25 times as far from that
    wanted = torch.tensor([[[[0.3875, 0.8875]], [[0.5125, 1.0125]]]], dtype=torch.float64)
    torch.testing.assert_close(colour(x, draws, 0.0, 1.0), wanted)


def test_draws_in_the_middle_change_no_colour() -> None:
    x = images(4, 3, 5, 6)
    torch.testing.assert_close(colour(x, torch.full((4, 3), 0.5).double(), -1.0, 1.0), x)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, UNIT, UNIT)
def test_translation_is_a_slice_of_the_padded_image(h: int, w: int, a: float, b: float) -> None:
    x = images(1, 2, h, w)
    up, left = (int(torch.tensor(d) * (2 * (s // 8) + 1)) - s // 8 for d, s in ((a, h), (b, w)))
    padded = F.pad(x, (w, w, h, h), value=0.5)
    wanted = padded[..., h + up : 2 * h + up, w + left : 2 * w + left]
    assert torch.equal(translation(x, torch.tensor([[a, b, 0]]), 0.0, 1.0), wanted)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, UNIT, UNIT)
def test_cutout_fills_a_rectangle(h: int, w: int, a: float, b: float) -> None:
    x, wanted = images(1, 2, h, w), images(1, 2, h, w)
    (top, bottom), (left, right) = (
        (c - s // 2 // 2, c - s // 2 // 2 + s // 2)
        for c, s in ((int(torch.tensor(d) * (n + 1 - n // 2 % 2)), n) for d, n in ((a, h), (b, w)))
    )
    wanted[..., max(top, 0) : bottom, max(left, 0) : right] = 0.5
    assert torch.equal(cutout(x, torch.tensor([[a, b, 0]]), 0.0, 1.0), wanted)


def test_every_place_is_reached_as_often() -> None:
    """Translations by −1, 0 and 1 of a side of 8; a cutout of 4 centred on 0 to 8."""
    x = torch.arange(1.0, 9).expand(3000, 1, 1, 8)
    draws = torch.rand(3000, 3, generator=torch.Generator().manual_seed(0))
    first = translation(x, draws, 0.0, 0.0)[:, 0, 0, 0]
    assert sorted(first.unique().tolist()) == [0, 1, 2]
    assert all(900 < int((first == v).sum()) < 1100 for v in (0, 1, 2))
    gone = (cutout(x.expand(-1, -1, 8, 8), draws, 0.0, 0.0) == 0).any(2).float().mean((0, 1))
    near_edge = torch.tensor([3, 4, 4, 4, 4, 4, 4, 3]) / 9
    torch.testing.assert_close(gone, near_edge, atol=0.03, rtol=0)


# --- as an objective ------------------------------------------------------------------------------


class Seen(Energy):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> Scored:
        self.shown.append(x)
        return Scored(x.square().flatten(-3).sum(-1))


def test_d_sees_augmented_images_real_and_fake_and_g_learns_through_them() -> None:
    energy, augment = Seen(), DiffAugment(EVERY, -1.0, 1.0)
    objective = Augmented(Logistic(), augment)
    x, fakes = images(6, 3, 8, 8), images(6, 3, 8, 8).neg().requires_grad_()
    objective.energy_loss(energy, Batch(x), Draw(fakes).detach(), context())
    real, fake = energy.shown
    draws = context().generator
    assert torch.equal(real, augment(x, draws))
    assert torch.equal(fake, augment(fakes.detach(), draws))
    assert not torch.equal(real, x)
    hidden = Augmented(Logistic(), DiffAugment(("cutout",), -1.0, 1.0))
    loss = hidden.sampler_loss(energy, Batch(x), Draw(fakes), context())
    (slope,) = torch.autograd.grad(loss.total.sum(), fakes)
    assert torch.equal(slope == 0, energy.shown[-1] == 0)  # what is cut out teaches nothing
    assert (slope != 0).flatten(1).any(1).all()


def test_a_seed_gives_the_same_augmentations_and_members_have_their_own() -> None:
    augment, x = DiffAugment(EVERY, -1.0, 1.0), images(2, 5, 3, 8, 8)
    together = augment(x, context((3, 4)).generator)
    for i, seed in enumerate((3, 4)):
        assert torch.equal(together[i], augment(x[i], context((seed,)).generator))
    assert not torch.equal(together[0], augment(x[0], context((5,)).generator))


def test_half_precision_is_not_augmented_in() -> None:
    x = images(2, 3, 8, 8).bfloat16()
    seen = DiffAugment(("colour",), -1.0, 1.0)(x, Randomness([0]).at(0))
    assert seen.dtype == torch.float32


def test_only_images_of_a_known_range_are_augmented() -> None:
    assert isinstance(augmented(Logistic(), EVERY, IMAGES), Augmented)
    plain = Contrastive()
    assert augmented(plain, (), IMAGES) is plain
    with pytest.raises(SettingError, match="leave it unset"):
        augmented(plain, EVERY, Domain((2,)))
    with pytest.raises(SettingError, match="range"):
        augmented(plain, EVERY, Domain((3, 8, 8)))


@pytest.mark.parametrize("module", [dcgan, ebgan_conv, gan])
def test_models_take_augmentations_and_penalties(module) -> None:
    config = module.Config.tiny().model_copy(
        update={"augment": EVERY, "r1": 0.5, "r2": "linear(1, 0, 9)", "output": "tanh"}
    )
    model: Model = module.build(config, IMAGES)
    assert isinstance(model.objective, Augmented)
    assert model.objective.augment == DiffAugment(EVERY, -1.0, 1.0)
    assert (model.hyper["r1"], model.hyper["r2"]) == (0.5, "linear(1, 0, 9)")


def test_a_loss_without_a_bound_and_a_setting_in_vain_are_refused() -> None:
    tiny = gan.Config.tiny().model_copy(update={"output": "linear"})
    critic = tiny.model_copy(update={"loss": "wasserstein"})
    with pytest.raises(SettingError, match="gradient_penalty to 10"):
        gan.build(critic, IMAGES)
    bounded = gan.build(critic.model_copy(update={"gradient_penalty": 10.0}), IMAGES)
    assert bounded.hyper == {"gradient_penalty": 10.0}
    with pytest.raises(SettingError, match="leave it unset with hinge"):
        gan.build(tiny.model_copy(update={"loss": "hinge", "sampler_loss": "minimax"}), IMAGES)


def test_of_a_pair_both_images_are_moved_and_cut_out_alike_and_one_is_coloured() -> None:
    x, source = images(6, 3, 8, 8), images(6, 2, 8, 8) + 2
    drawn = Randomness([0], dtype=torch.float64)
    found, beside = DiffAugment(EVERY, 0.0, 1.0).pair(x, source, drawn.at(0))
    alone = DiffAugment(EVERY, 0.0, 1.0)(x, drawn.at(0))
    assert torch.equal(found, alone)
    drawn.at(0).uniform(0, 1, 6, 3)  # of the colours
    wanted = source
    for function in (translation, cutout):
        wanted = function(wanted, drawn.uniform(0, 1, 6, 3), 0.0, 1.0)
    assert torch.equal(beside, wanted)


def test_d_of_pix2pix_sees_augmented_pairs_and_g_is_near_its_target_as_it_is() -> None:
    config = pix2pix.Config.tiny().model_copy(update={"augment": ("translation",)})
    domain = Domain((1, 16, 16), -1.0, 1.0, condition_shape=(1, 16, 16))
    model = pix2pix.build(config, domain)
    seen: list[tuple[Tensor, Tensor | None]] = []

    class Watched(Energy):
        def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
            seen.append((x, condition))
            return Scored(x.mean((1, 2, 3)))

    x = images(4, 1, 16, 16)
    batch, draw = Batch(x, x.clone()), Draw(x.clone(), x.clone())
    hyper = {"l1": torch.ones(1, 1)}
    at = Context(0, hyper, Randomness([0], dtype=torch.float64).at(0, "train"))
    model.objective.energy_loss(Watched(), batch, draw, at)
    for of, source in seen:
        assert source is not None
        assert torch.equal(of, source)  # source and target were the same, and are moved alike
        assert not torch.equal(of, x)
    loss = model.objective.sampler_loss(Watched(), batch, draw, at)
    assert float(loss.parts["difference"]) == 0
