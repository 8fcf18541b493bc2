"""Latents: those of a run's samples, truncated ones, and the directions that change most."""

import numpy as np
import pytest
import torch
from scipy import stats

from energan.inference import latents
from energan.inference.run import Run


def test_the_latents_of_samples_give_the_samples(runs: dict[str, Run]) -> None:
    run = runs["ebgan"]
    z = latents.draw_sampled(run, 5, seed=3)
    assert z is not None
    assert torch.equal(latents.generate(run, z), run.sample(5, seed=3))
    wide = latents.draw_sampled(run, 5, seed=3, cut=40.0)
    assert wide is not None
    assert torch.allclose(z, wide, atol=1e-5)


@pytest.mark.parametrize("cut", [0.3, 1.0, 2.5])
def test_truncated_normal_latents_keep_their_rank(cut: float) -> None:
    z = torch.randn(4_000, 1, generator=torch.Generator().manual_seed(0))
    found = latents.truncate(z, cut, "normal")
    expected = stats.truncnorm.ppf(stats.norm.cdf(z.double().numpy()), -cut, cut)
    assert np.allclose(found, expected, atol=1e-5)
    assert float(found.abs().max()) <= cut


@pytest.mark.parametrize(("prior", "bound"), [("uniform", 1.0), ("uniform-unit-variance", 3**0.5)])
def test_truncated_uniform_latents(prior: latents.Prior, bound: float) -> None:
    z = bound * (2 * torch.rand(1_000, 2, generator=torch.Generator().manual_seed(0)) - 1)
    assert torch.allclose(latents.truncate(z, 0.5, prior), z * 0.5 / bound)
    assert torch.equal(latents.truncate(z, 2.0, prior), z)


def test_directions_are_those_of_the_jacobian(
    runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a linear generator x = A z they are known: A's right singular vectors."""
    a = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(latents, "generate", lambda run, z, labels: z @ a.T)
    found = latents.directions(runs["ebgan"], torch.zeros(1, 4), 3)
    expected = torch.linalg.svd(a).Vh[:3]
    assert torch.allclose((found * expected).sum(1).abs(), torch.ones(3), atol=1e-3)
    assert torch.allclose(found @ found.T, torch.eye(3), atol=1e-5)
    assert bool((found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all())
    assert latents.directions(runs["ebgan"], torch.zeros(1, 4), 6)[4:].abs().sum() == 0
