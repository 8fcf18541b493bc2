"""Synthetic sets against what their descriptions say."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from energan.core import Domain
from energan.evaluation.synthetic import (
    KINDS,
    EventStatistics,
    checkerboard,
    grating,
    pink,
    synthesise,
    textures,
)

domains = st.builds(
    lambda channels, height, width, signed: Domain(
        (channels, height, width), -1.0 if signed else 0.0, 1.0
    ),
    st.sampled_from([1, 3]),
    st.integers(2, 17),
    st.integers(2, 17),
    st.booleans(),
)


def images(domain: Domain, count: int, seed: int) -> Tensor:
    """Random images of 256 levels in the domain's range."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randint(256, (count, *domain.shape), generator=generator)
    assert domain.low is not None
    assert domain.high is not None
    return raw / (255 / (domain.high - domain.low)) + domain.low


def of(kind: str, x: Tensor, domain: Domain, seed: int = 0) -> Tensor:
    held_out = x if len(domain.shape) == 1 else None
    return synthesise(
        kind, x, EventStatistics.of(domain, held_out), torch.Generator().manual_seed(seed)
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(domain=domains, count=st.integers(2, 7), seed=st.integers(0, 10**6))
def test_images_of_every_kind_are_stored_as_data_are(
    kind: str, domain: Domain, count: int, seed: int
) -> None:
    x = images(domain, count, seed)
    found = of(kind, x, domain, seed)
    assert found.shape == x.shape
    assert found.dtype == torch.float32
    assert domain.low is not None
    levels = (found - domain.low) * (255 if domain.low == 0 else 127.5)
    assert torch.allclose(levels, levels.round(), atol=1e-3)
    assert 0 <= float(levels.round().min()) <= float(levels.round().max()) <= 255
    assert torch.equal(found, of(kind, x, domain, seed))
    assert not torch.equal(found, x)


@settings(max_examples=20)
@given(domain=domains, seed=st.integers(0, 10**6))
def test_what_is_made_of_images(domain: Domain, seed: int) -> None:
    x = images(domain, 4, seed)
    low, high = domain.low or 0.0, domain.high or 0.0
    assert torch.allclose(of("inverted", x, domain), low + high - x, atol=1e-6)
    one, two = ((255 * (e.flatten(2) - low)).round() for e in (of("shuffled", x, domain), x))
    for a, b in zip(one, two, strict=True):  # the same pixels, with their colours
        assert sorted(a.T.tolist()) == sorted(b.T.tolist())
    pairs = (x[:, None] + x[None]) / 2  # (4, 4, ...)
    step = (high - low) / 255
    for mixed, row in zip(of("mixup", x, domain), pairs, strict=True):
        nearest = (row - mixed).abs().flatten(1).amax(1)
        assert int((nearest <= 0.51 * step).sum()) >= 1
    constant = of("constant", x, domain)
    assert bool((constant == constant[:, :, :1, :1]).all())
    flat = torch.full_like(x, 0.25 * low + 0.75 * high)
    assert torch.allclose(of("blurred", flat, domain), flat, atol=0.51 * step)


def test_each_image_is_shuffled_in_its_own_way() -> None:
    domain = Domain((1, 5, 5), 0.0, 1.0)
    x = (torch.arange(25) / 255).view(1, 1, 5, 5).expand(6, -1, -1, -1)
    assert len({tuple(image.flatten().tolist()) for image in of("shuffled", x, domain)}) == 6


def test_blurring_is_by_the_gaussian_it_says() -> None:
    """A point of light becomes the outer product of two sampled Gaussians."""
    from scipy.ndimage import gaussian_filter

    domain = Domain((1, 48, 32), 0.0, 1.0)
    x = images(domain, 3, 5)
    expected = [gaussian_filter(i[0].double().numpy(), (3, 2), mode="nearest", radius=(9, 6))
                for i in x]  # fmt: skip
    found = of("blurred", x, domain)[:, 0].double().numpy()
    for a, b in zip(found, expected, strict=True):
        assert abs(a - b).max() < 0.51 / 255


def test_noise_has_the_moments_it_says() -> None:
    domain = Domain((3, 16, 16), -1.0, 1.0)
    x = images(domain, 200, 1)
    uniform, normal = of("noise", x, domain), of("gaussian", x, domain)
    assert float(uniform.mean()) == pytest.approx(0, abs=0.01)
    assert float(uniform.std()) == pytest.approx(2 / 12**0.5, abs=0.01)
    inside = normal[(normal > -1) & (normal < 1)]
    assert len(inside) / normal.numel() == pytest.approx(0.9545, abs=0.005)  # ± two deviations
    assert float((normal.abs() < 0.5).float().mean()) == pytest.approx(0.6827, abs=0.01)


def test_points_come_from_the_box_and_the_moments_of_the_data() -> None:
    domain = Domain((3,))
    x = torch.randn(4000, 3) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor([0.0, 10.0, -3.0])
    noise, normal, mixed = (of(kind, x, domain) for kind in ("noise", "gaussian", "mixup"))
    assert bool((noise >= x.amin(0)).all() & (noise <= x.amax(0)).all())
    assert torch.allclose(noise.mean(0), (x.amin(0) + x.amax(0)) / 2, rtol=0.1, atol=0.3)
    assert torch.allclose(normal.std(0), x.std(0), rtol=0.05)
    assert torch.allclose(normal.mean(0), x.mean(0), atol=0.3)
    assert torch.equal(mixed[1:], (x[1:] + x[:-1]) / 2)
    assert [k for k, kind in KINDS.items() if kind.about(domain)] == ["noise", "gaussian", "mixup"]


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(2, 40), st.integers(2, 40), st.integers(0, 10**6))
def test_textures_lie_between_two_colours(count: int, height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = textures(torch.Size((count, 3, height, width)), generator)
    assert bool((x >= 0).all() & (x <= 1).all())
    for image in x.flatten(2).double():  # on a line in the space of colours: of rank one
        spread = torch.linalg.svdvals(image - image.mean(1, keepdim=True))
        assert float(spread[1]) <= 1e-5 * max(1.0, float(spread[0]))


def test_patterns_are_what_they_are_called() -> None:
    draws, white = torch.rand(4, 20, 1, 1), torch.randn(20, 64, 64)
    waves: Any = 2 * (64 / 4 / 2) ** draws[1].flatten()
    power = torch.fft.rfft2(grating(draws, white)).abs().square()
    power[:, 0, 0] = 0
    y, x = torch.meshgrid(torch.fft.fftfreq(64) * 64, torch.fft.rfftfreq(64) * 64, indexing="ij")
    peak = power.flatten(1).argmax(1)
    found = torch.hypot(y, x).flatten()[peak]
    assert bool(((found - waves).abs() < 1.5).all())  # of its frequency
    boards = checkerboard(draws, white)
    assert set(boards.unique().tolist()) == {-1.0, 1.0}
    draws[1] = torch.tensor([0.0, 1.0]).repeat(10).view(20, 1, 1)
    power = torch.fft.rfft2(pink(draws, torch.randn(20, 64, 64))).abs().square()
    f = torch.hypot(y, x)
    slow, fast = ((f >= a) & (f < b) for a, b in ((4, 6), (16, 24)))
    fall = (power[:, slow].mean(1) / power[:, fast].mean(1)).log() / torch.tensor(4.0).log()
    assert float(fall[0::2].mean()) == pytest.approx(1, abs=0.3)  # amplitude f^-0.5
    assert float(fall[1::2].mean()) == pytest.approx(4, abs=0.6)  # amplitude f^-2
