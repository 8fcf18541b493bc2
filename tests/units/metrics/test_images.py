"""Figures of images beside what they are to be, against closed forms and another's code."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from energan.metrics import l1, psnr, ssim

SEEDS = st.integers(0, 2**31)
SIDES = st.integers(11, 20)


def two(seed: int, n: int = 3, c: int = 3, h: int = 16, w: int = 13) -> tuple[Tensor, Tensor]:
    """Images in [-1, 1], and others that are like them."""
    g = torch.Generator().manual_seed(seed)
    a = torch.rand(n, c, h, w, generator=g, dtype=torch.double) * 2 - 1
    b = (a + 0.3 * torch.randn(a.shape, generator=g, dtype=torch.double)).clamp(-1, 1)
    return a, b


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 4), st.integers(1, 3), SIDES, SIDES)
def test_l1_and_psnr_are_their_definitions(seed: int, n: int, c: int, h: int, w: int) -> None:
    a, b = two(seed, n, c, h, w)
    difference = (a - b).numpy()
    for i in range(n):
        assert l1(a, b)[i] == pytest.approx(np.abs(difference[i]).mean())
        noise = (difference[i] ** 2).mean()
        assert psnr(a, b, 2)[i] == pytest.approx(10 * math.log10(4 / noise))
    assert l1(a, b).dtype == psnr(a, b, 2).dtype == np.float64


def test_closed_forms_of_flat_images() -> None:
    """A difference of d everywhere: L1 is |d|, PSNR 20 log10(span/|d|)."""
    a, b = torch.zeros(2, 1, 12, 12), torch.full((2, 1, 12, 12), 0.5)
    assert l1(a, b).tolist() == [0.5, 0.5]
    assert psnr(a, b, 1).tolist() == pytest.approx([20 * math.log10(2)] * 2)
    assert psnr(a, b, 2).tolist() == pytest.approx([20 * math.log10(4)] * 2)


@pytest.mark.parametrize(("p", "q", "span"), [(0.2, 0.7, 1.0), (-1.0, 1.0, 2.0), (0, 0.3, 2.0)])
def test_ssim_of_two_flat_images_is_the_luminance_term(p: float, q: float, span: float) -> None:
    """Without variance (2pq + C1)/(p² + q² + C1), C1 = (0.01 span)²."""
    a, b = torch.full((1, 3, 15, 11), p), torch.full((1, 3, 15, 11), q)
    c1 = (0.01 * span) ** 2
    p, q = float(a[0, 0, 0, 0]), float(b[0, 0, 0, 0])
    expected = (2 * p * q + c1) / (p * p + q * q + c1)
    assert ssim(a, b, span).tolist() == pytest.approx([expected], rel=1e-6)


def test_ssim_of_one_window_is_the_formula_with_the_gaussian_weights() -> None:
    """An 11×11 image has one place: means, variances and covariance by exp(−d²/2·1.5²)."""
    a, b = two(5, 1, 1, 11, 11)
    d = np.arange(11) - 5
    weights = np.exp(-(d[:, None] ** 2 + d[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    x, y = a[0, 0].numpy(), b[0, 0].numpy()
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
    cov = (weights * (x - mx) * (y - my)).sum()
    c1, c2 = 0.02**2, 0.06**2
    expected = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(a, b, 2)[0] == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 3), st.integers(1, 3), st.integers(12, 24), st.integers(12, 24))
def test_ssim_agrees_with_torchmetrics(seed: int, n: int, c: int, h: int, w: int) -> None:
    """At the places whose window lies within the image: theirs goes on over mirrored borders."""
    a, b = two(seed, n, c, h, w)
    _, places = structural_similarity_index_measure(
        a, b, sigma=1.5, data_range=2.0, reduction="none", return_full_image=True
    )
    theirs = places[..., 5:-5, 5:-5].mean((1, 2, 3)).numpy()
    np.testing.assert_allclose(ssim(a, b, 2), theirs, rtol=1e-6, atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.floats(0.1, 300))
def test_equal_images_symmetry_and_scale(seed: int, scale: float) -> None:
    a, b = two(seed)
    assert (l1(a, a) == 0).all()
    assert np.isposinf(psnr(a, a, 2)).all()
    np.testing.assert_allclose(ssim(a, a, 2), 1)
    for figure in (l1, lambda x, y: psnr(x, y, 2), lambda x, y: ssim(x, y, 2)):
        np.testing.assert_allclose(figure(a, b), figure(b, a))
    np.testing.assert_allclose(l1(scale * a, scale * b), scale * l1(a, b))
    np.testing.assert_allclose(psnr(scale * a, scale * b, 2 * scale), psnr(a, b, 2))
    np.testing.assert_allclose(ssim(scale * a, scale * b, 2 * scale), ssim(a, b, 2), rtol=1e-6)
    assert (np.abs(ssim(a, b, 2)) <= 1).all()


def test_a_blur_and_noise_cost_more_the_stronger_they_are() -> None:
    a, _ = two(0)
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    for figure in (lambda x: -l1(a, x), lambda x: psnr(a, x, 2), lambda x: ssim(a, x, 2)):
        found = [figure(a + s * noise) for s in (0.05, 0.1, 0.2, 0.4)]
        assert all((x > y).all() for x, y in pairwise(found))


def test_arrays_half_precision_and_bytes_will_do_and_blocks_change_nothing(monkeypatch) -> None:
    a, b = two(3, n=5)
    whole = ssim(a, b, 2)
    np.testing.assert_allclose(ssim(a.numpy(), b.numpy(), 2), whole)
    monkeypatch.setattr("energan.metrics.images.BLOCK", 1)
    np.testing.assert_allclose(ssim(a, b, 2), whole)
    half = l1(a.bfloat16(), b.bfloat16())
    np.testing.assert_allclose(half, l1(a, b), atol=0.01)
    x, y = ((v * 127.5 + 127.5).round().byte() for v in (a, b))
    np.testing.assert_allclose(psnr(x, y, 255), psnr(a, b, 2), atol=0.05)
    np.testing.assert_allclose(ssim(x, y, 255).shape, whole.shape)


@pytest.mark.parametrize("figure", [l1, lambda a, b: psnr(a, b, 2), lambda a, b: ssim(a, b, 2)])
@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (torch.zeros(2, 3, 12, 12), torch.zeros(2, 3, 12, 13), "of one shape"),
        (torch.zeros(3, 12, 12), torch.zeros(3, 12, 12), "of one shape"),
        (torch.zeros(0, 3, 12, 12), torch.zeros(0, 3, 12, 12), "of one shape"),
        (torch.full((1, 1, 12, 12), torch.nan), torch.zeros(1, 1, 12, 12), "finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(figure, a: Tensor, b: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        figure(a, b)


def test_small_images_and_impossible_ranges_are_refused() -> None:
    with pytest.raises(ValueError, match="11x11 at least"):
        ssim(torch.zeros(1, 1, 10, 20), torch.zeros(1, 1, 10, 20), 1)
    for span in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match="must be positive"):
            psnr(torch.zeros(1, 1, 12, 12), torch.ones(1, 1, 12, 12), span)
