"""Synthetic defects: their shapes against the formulas, and that masks tell what changed."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from torch import Tensor

from energan.core import Batch, Context, Draw, Randomness
from energan.energies.logit import Logit
from energan.nets.mlp import mlp_logit
from energan.samplers.synthetic_defects import DefectSettings, SyntheticDefects
from energan.samplers.synthetic_defects.draws import Numbers
from energan.samplers.synthetic_defects.kinds import KINDS
from energan.samplers.synthetic_defects.regions import _along, _region
from energan.samplers.synthetic_defects.sampler import LEAST, VISIBLE, _scene
from energan.samplers.synthetic_defects.shapes import (
    blob,
    blur,
    gradient_noise,
    perlin,
    polyline,
)

ENERGY = Logit(mlp_logit((3,), (4,), norm=False))  # which the sampler does not ask
PLAIN = {"contrast": 0.0, "brightness": 0.0}


def images(count: int = 8, channels: int = 1, height: int = 48, width: int = 64) -> Tensor:
    """Noise of several scales in [−0.8, 0.8]."""
    g = torch.Generator().manual_seed(1)
    fine = torch.rand(count, channels, height, width, generator=g)
    coarse = torch.rand(count, channels, 4, 4, generator=g)
    return (fine + F.interpolate(coarse, (height, width), mode="bilinear") - 1) * 0.8


def only(kind: str, **options: object) -> DefectSettings:
    weights = {name: float(name == kind) for name in KINDS}
    return DefectSettings(**{**weights, "second": 0, "clean": 0, **PLAIN, **options})  # type: ignore[arg-type]


def draw(
    x: Tensor, defects: DefectSettings, step: int = 0, seeds: tuple[int, ...] = (0,),
    share: tuple[int, int] = (0, 1),
) -> Draw:  # fmt: skip
    context = Context(step, {}, Randomness(seeds, share=share).at(step, "train", split=True))
    found, state = SyntheticDefects(defects, -1.0, 1.0).draw(ENERGY, Batch(x), {}, context)
    assert found is not None
    assert found.mask is not None
    assert state == {}
    return found


def numbers(count: int = 3, seed: int = 0) -> Numbers:
    return Numbers(torch.rand(count, 8192, generator=torch.Generator().manual_seed(seed)))


# --- regions --------------------------------------------------------------------------------------


def test_a_region_is_the_smaller_side() -> None:
    x = images(40)
    scene = _scene(x, x.roll(1, 0), torch.randn(x.shape), -1.0, 1.0)
    inside = (_region(scene, numbers(40)) < 0).flatten(1).double().mean(1)
    assert inside.max() <= 0.5
    assert (inside > 0.02).double().mean() > 0.8  # and rarely nothing


def test_streaks_are_means_along_an_axis() -> None:
    x = images(2, height=48, width=64)
    down, right = _along(x, -2, 4), _along(x, -1, 4)
    assert float(down[0, 0, 20, 5]) == pytest.approx(float(x[0, 0, 14:27, 5].mean()), abs=1e-6)
    assert float(right[1, 0, 7, 2]) == pytest.approx(float(x[1, 0, 7, :11].mean()), abs=1e-6)


def test_streaks_change_more_across_than_along_an_axis() -> None:
    """The change of an image, where it is wholly changed."""
    x = torch.zeros(60, 1, 64, 64)  # without streaks of its own: only new ones show
    made = draw(x, only("streaks", opacity=(1.0, 1.0)))
    assert made.mask is not None
    ratios = []
    for one, mask in zip(made.x[:, 0], made.mask, strict=True):
        down = (mask[1:] * mask[:-1]) > 0
        right = (mask[:, 1:] * mask[:, :-1]) > 0
        if min(down.sum(), right.sum()) > 50:
            steps = [one.diff(dim=0)[down].square().mean(), one.diff(dim=1)[right].square().mean()]
            ratios.append(float(max(steps) / min(steps)))
    assert len(ratios) > 10
    assert sorted(ratios)[len(ratios) // 2] > 3


# --- shapes ---------------------------------------------------------------------------------------


def test_gradient_noise_is_that_of_perlin() -> None:
    """Against a plain one: at each place, corner by corner."""
    angles = numbers().uniform(0, 2 * math.pi, 5, 5).double()
    g = torch.Generator().manual_seed(2)
    y, x = (torch.rand(3, 6, 7, generator=g, dtype=torch.float64) * 3.99 for _ in range(2))
    found = gradient_noise(angles, y, x)

    def fade(t: float) -> float:
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    for n, i, j in ((0, 0, 0), (1, 3, 5), (2, 5, 6), (2, 2, 1)):
        py, px = float(y[n, i, j]), float(x[n, i, j])
        total = 0.0
        for ky in (math.floor(py), math.floor(py) + 1):
            for kx in (math.floor(px), math.floor(px) + 1):
                angle = float(angles[n, ky, kx])
                slope = math.sin(angle) * (py - ky) + math.cos(angle) * (px - kx)
                total += fade(1 - abs(py - ky)) * fade(1 - abs(px - kx)) * slope
        assert float(found[n, i, j]) == pytest.approx(total, abs=1e-9)


def test_perlin_noise_has_a_variance_near_one_and_the_mean_zero() -> None:
    found = perlin(numbers(100), torch.zeros(100, 64, 64))
    assert found.shape == (100, 64, 64)
    assert abs(float(found.mean())) < 0.05
    assert float(found.var()) == pytest.approx(1, rel=0.15)


def test_a_walk_without_turns_is_a_line() -> None:
    """All numbers at one half: the angle π, no turns. The distance is that of a segment."""
    u, like = Numbers(torch.full((1, 100), 0.5)), torch.zeros(1, 20, 30, dtype=torch.float64)
    y, x, length = (torch.full((1, 1, 1), v, dtype=torch.float64) for v in (8.0, 25.0, 14.0))
    never = torch.full((1, 1, 1), math.nan, dtype=torch.float64)
    found = polyline(u, like, (y, x), (never, never), length)
    row = torch.arange(20.0, dtype=torch.float64)[:, None]
    column = torch.arange(30.0, dtype=torch.float64)[None]
    nearest = column.clamp(25 - 14, 25)  # from x leftwards
    torch.testing.assert_close(found[0], torch.hypot(row - 8, column - nearest), atol=1e-5, rtol=0)


def test_the_second_half_of_a_walk_begins_where_it_jumps_to() -> None:
    u, like = Numbers(torch.full((1, 100), 0.5)), torch.zeros(1, 20, 30)
    at = [torch.full((1, 1, 1), v) for v in (2.0, 25.0, 15.0, 20.0, 14.0)]
    found = polyline(u, like, (at[0], at[1]), (at[2], at[3]), at[4])[0]
    on = [(2, 25), (2, 18), (15, 20), (15, 13)]
    assert max(float(found[place]) for place in on) < 1e-3
    assert float(found[2, 11]) == pytest.approx(7, abs=1e-3)  # half of the length stayed there


def test_a_blob_without_waves_is_an_ellipse() -> None:
    u, like = Numbers(torch.full((1, 100), 0.5)), torch.zeros(1, 40, 40)
    y, x, tall, wide = (torch.full((1, 1, 1), v) for v in (20.0, 18.0, 6.0, 12.0))
    found = blob(u, like, y, x, tall, wide)[0]  # turned by π/2
    row, column = torch.arange(40.0)[:, None], torch.arange(40.0)[None]
    inside = ((row - 20) / 12).square() + ((column - 18) / 6).square() < 1
    assert torch.equal(found < 0, inside)
    assert float(found[20, 27]) == pytest.approx(3, abs=1e-4)  # along the short axis, in pixels


def test_smoothing_keeps_what_is_plain_and_the_mean() -> None:
    plain = torch.full((1, 2, 30, 50), 0.3)
    torch.testing.assert_close(blur(plain, 8), plain)
    x = images(1, height=64)
    assert float(blur(x, 16).var()) < 0.5 * float(x.var())


# --- defects --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_what_its_mask_says(kind: str) -> None:
    x = images(32)
    made = draw(x, only(kind, opacity=(1, 1)))
    assert made.mask is not None
    assert made.mask.unique().tolist() == [0, 1]
    assert (made.mask.amax((1, 2)) > 0).float().mean() > 0.6  # most are seen
    assert made.mask.mean((1, 2)).max() < 0.7  # of two sides the smaller is defective
    assert made.x.abs().max() <= 1
    change = (made.x - x).abs()
    spread = x.std((1, 2, 3), correction=0).view(-1, 1, 1)
    near = F.max_pool2d(change, 5, 1, 2)[:, 0]  # within the pixels that count with one
    assert (near >= (VISIBLE * spread).clamp(min=2 * LEAST)).masked_select(made.mask > 0).all()
    apart = F.max_pool2d(made.mask[:, None], 17, 1, 8)[:, 0] == 0
    assert change[:, 0].masked_select(apart).quantile(0.99) < 0.5 * float(spread.mean())


@pytest.mark.parametrize("kind", ["crack", "spot"])
def test_a_fainter_defect_changes_less_by_its_opacity(kind: str) -> None:
    x = images() * 0.1  # far from the ends of the range
    whole, half = (draw(x, only(kind, opacity=(o, o))).x - x for o in (1.0, 0.5))
    torch.testing.assert_close(half, whole / 2, atol=1e-6, rtol=1e-4)


def test_an_image_without_a_defect_has_an_empty_mask_and_is_unchanged() -> None:
    x = images(400, height=16, width=16)
    made = draw(x, DefectSettings(clean=0.4, **PLAIN))
    assert made.mask is not None
    same = (made.x == x).flatten(1).all(1)
    assert (made.mask[same] == 0).all()
    assert binomtest(int(same.sum()), 400, 0.4).pvalue > 1e-4


def test_kinds_come_as_often_as_their_weights_say() -> None:
    weights = {**dict.fromkeys(KINDS, 0.0), "crack": 1.0, "spot": 3.0}
    sampler = SyntheticDefects(DefectSettings(**weights), -1, 1)  # type: ignore[arg-type]
    drawn = torch.rand(4000, generator=torch.Generator().manual_seed(4))
    names = [list(KINDS)[i] for i in sampler._kinds(drawn).tolist()]
    assert set(names) == {"crack", "spot"}
    assert binomtest(names.count("spot"), 4000, 0.75).pvalue > 1e-4


def test_all_images_are_lit_otherwise_within_the_range() -> None:
    x = images(64, height=16, width=16)
    made = draw(x, DefectSettings(clean=0.99, second=0)).x
    same = draw(x, DefectSettings(clean=0.99, second=0)).x
    assert torch.equal(made, same)
    gains = (made.std((1, 2, 3)) / x.std((1, 2, 3))).sort().values
    assert 0.75 - 1e-3 < gains[2] < 0.85
    assert 1.15 < gains[-3] < 1.25 + 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_of_the_lowest_value_stays(kind: str) -> None:
    x = images()
    x[:, :, :10] = x[..., -7:] = -1
    made = draw(x, only(kind, contrast=0.2, brightness=0.1))
    assert made.mask is not None
    for part in (made.mask[:, :10], made.mask[..., -7:]):
        assert not part.any()
    for part in (made.x[:, :, :10], made.x[..., -7:]):
        assert (part == -1).all()
    assert made.mask.any()


def test_a_draw_is_a_function_of_seed_step_and_batch() -> None:
    x, defects = images(), DefectSettings()
    first = draw(x, defects, 3)
    assert torch.equal(draw(x, defects, 3).x, first.x)
    assert not torch.equal(draw(x, defects, 4).x, first.x)
    assert not torch.equal(draw(x, defects, 3, (1,)).x, first.x)


def test_members_draw_as_their_single_runs_do() -> None:
    x, defects = torch.stack([images(), images().flip(0)]), DefectSettings()
    together = draw(x, defects, 3, (5, 9))
    assert together.mask is not None
    for i, seed in enumerate((5, 9)):
        alone = draw(x[i], defects, 3, (seed,))
        assert alone.mask is not None
        torch.testing.assert_close(together.x[i], alone.x)
        torch.testing.assert_close(together.mask[i], alone.mask)


@pytest.mark.parametrize("kind", ["crack", "spot", "smear"])  # which need no other image
def test_ranks_draw_what_one_process_would(kind: str) -> None:
    x = images(16)
    whole = draw(x, only(kind, contrast=0.2))
    parts = [draw(x[8 * r : 8 * r + 8], only(kind, contrast=0.2), share=(r, 2)) for r in (0, 1)]
    torch.testing.assert_close(torch.cat([part.x for part in parts]), whole.x)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 1), (4, 5, 33), (1, 130, 70)])
def test_any_size_and_any_bands(shape: tuple[int, int, int]) -> None:
    x = images(5, *shape)
    made = draw(x, DefectSettings(second=1, clean=0))
    assert made.x.shape == x.shape
    assert made.mask is not None
    assert made.mask.shape == (5, *shape[1:])
    assert made.x.isfinite().all()


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_plain_images_are_no_trouble(value: float) -> None:
    made = draw(torch.full((16, 1, 32, 32), value), DefectSettings(clean=0))
    assert made.x.isfinite().all()
    assert made.x.abs().max() <= 1


def test_one_image_alone() -> None:
    assert draw(images(1), DefectSettings(clean=0)).x.isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (dict.fromkeys(KINDS, 0.0), "all kinds have weight 0"),
        ({"opacity": (0.9, 0.5)}, "the smaller first"),
        ({"opacity": (0.0, 0.5)}, "above 0"),
    ],
)
def test_settings_that_make_no_defects_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DefectSettings(**wrong)  # type: ignore[arg-type]
