"""Denoising score matching as a model: levels and steps of the paper, by the data's range."""

import pytest
import torch

from energan.core import Batch, Context, Domain, PerSample, SettingError
from energan.models import score_matching
from energan.models.score_matching import Config
from energan.samplers.annealed import AnnealedChains


def test_levels_and_steps_are_the_published_ones() -> None:
    """10 levels from 1 to 0.01 in equal ratios; 100 steps each, of 2e-5·σ²/σ_L²."""
    unit = Domain((1, 8, 8), 0.0, 1.0)
    sigmas = Config().sigmas(unit)
    assert sigmas == pytest.approx([0.01 ** (i / 9) for i in range(10)])
    steps = Config(denoise=False).annealing(unit).steps
    assert len(steps) == 1000
    for (half, noise), sigma in zip(steps[::100], sigmas, strict=True):
        assert 2 * half == pytest.approx(2e-5 * sigma**2 / sigmas[-1] ** 2)
        assert noise**2 == pytest.approx(2 * half)
    assert Config().annealing(unit).steps[-1] == (pytest.approx(1e-4), 0.0)


def test_levels_follow_the_range() -> None:
    signed = Domain((1, 8, 8), -1.0, 1.0)
    assert Config().sigmas(signed) == pytest.approx([2 * 0.01 ** (i / 9) for i in range(10)])
    annealing = Config().annealing(signed)
    assert (annealing.centre, annealing.spread) == (0.0, 2.0)
    assert (annealing.low, annealing.high) == (-1.0, 1.0)
    assert Config().annealing(Domain((1, 8, 8), 0.0, 1.0)).centre == 0.5


def test_one_level_is_a_density_and_several_are_none() -> None:
    plane = Domain((2,))
    assert score_matching.build(Config(levels=1, smallest=0.1), plane).temperature == 1.0
    assert score_matching.build(Config(), plane).temperature is None
    assert Config(levels=1, smallest=0.1).sigmas(plane) == (0.1,)
    with pytest.raises(SettingError, match="must be above"):
        Config(largest=0.01, smallest=0.1).sigmas(plane)


def test_samples_of_a_known_score_are_as_the_data() -> None:
    """∇U of N(0, s²) smoothed by σ_L, at every level: chains end with variance s², the last step
    having shrunk that of s² + σ_L²."""
    built = score_matching.build(
        Config(levels=4, largest=1.0, smallest=0.3, level_steps=60, step_size=0.1), Domain((2,))
    )
    s2, sigma2 = 0.25, 0.09

    class Known(type(built.energy)):  # type: ignore[misc]
        def forward(self, x: torch.Tensor, condition: object = None, *, stream: str) -> object:
            scored = super().forward(x, condition, stream=stream)
            return type(scored)(x.square().sum(-1) / (2 * (s2 + sigma2)))

    built.energy.__class__ = Known
    assert isinstance(built.sampler, AnnealedChains)
    made = built.sampler.sample(
        built.energy, 4000, None, {}, Context(0, {}, PerSample(0, (2,)).at("s"))
    )
    assert made is not None
    wanted = s2**2 / (s2 + sigma2)  # Var(x(1 − σ²/(s² + σ²))) of x with variance s² + σ²
    assert float(made.x.var()) == pytest.approx(wanted, rel=0.06)
    draw, _ = built.sampler.draw(
        built.energy, Batch(made.x), {}, Context(0, {}, PerSample(0, (2,)))
    )
    assert draw is None
