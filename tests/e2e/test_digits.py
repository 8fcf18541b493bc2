"""A short training on the real digits: what a user may expect of it."""

from pathlib import Path

import pytest
import torch

import energan
from energan.core import Randomness
from energan.data import DataSettings, open_data
from energan.samplers.generator import latent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> energan.Run:
    return energan.train(
        "ebgan-digits",
        steps=1000,
        out=tmp_path_factory.mktemp("digits") / "r",
        model={
            "generator": [64, 64],
            "encoder": [64, 32],  # two layers: the second has batch norm
            "generator_scale": None,
            "discriminator_scale": None,
        },
        training={"ema": 0},
        engine={"threads": 1},
        output={"sample_every": 0, "tensorboard": False},
        progress=False,
    )


def test_trap_1_held_out_energies_in_evaluation_are_near_those_of_training(run) -> None:
    """Measured: 8.9 / 11.2 by batch statistics, 15.9 / 14.3 by running averages."""
    held_out = open_data(DataSettings()).held_out
    assert held_out is not None
    real = held_out.gather(torch.arange(len(held_out))).x
    z = latent(Randomness([1]), "normal", len(real), run.job.settings.model.latent)
    fake = run.sampler.network(z, "fake")
    by_batch = {
        name: float(run.energy_network(x, stream=name).energy.mean())
        for name, x in (("real", real), ("fake", fake))
    }
    evaluated = {"real": float(run.energy(real).mean()), "fake": float(run.energy(fake).mean())}
    assert evaluated["real"] == pytest.approx(by_batch["real"], rel=0.1)
    assert evaluated["fake"] == pytest.approx(by_batch["fake"], rel=0.25)


def test_the_energy_tells_digits_from_what_is_not(run) -> None:
    held_out = open_data(DataSettings()).held_out
    assert held_out is not None
    real = held_out.gather(torch.arange(len(held_out))).x
    noise = torch.rand(len(real), 1, 8, 8) * 2 - 1
    shuffled = real.flatten(1)[:, torch.randperm(64)].view_as(real)
    assert run.energy(real).mean() < 0.7 * run.energy(noise).mean()
    assert run.energy(real).mean() < 0.7 * run.energy(shuffled).mean()


def test_samples_come_nearer_to_held_out_digits(run) -> None:
    distances = [e["sliced_wasserstein"] for e in run.events("score")]
    assert distances[-1] < 0.4 * distances[0]


def test_without_a_margin_the_energy_of_fakes_has_no_bound(tmp_path: Path) -> None:
    """The margin-free objective fails as the text says: the fakes' energy goes past any m."""
    fakes, margin = {}, 2.5
    for loss in ("contrastive", "hinge"):
        run = energan.train(
            "ebgan-digits",
            steps=600,
            out=tmp_path / loss,
            model={"loss": loss, "margin": margin, "generator": [32], "encoder": [32]},
            engine={"threads": 1},
            output={"sample_every": 0, "log_every": 50, "tensorboard": False},
            progress=False,
        )
        fakes[loss] = [e["energy_fake"] for e in run.events("step")]
    assert max(fakes["hinge"]) < 1.1 * margin
    free = fakes["contrastive"]
    assert free[-1] > 2 * margin
    assert free[2] < free[5] < free[8] < free[11]  # and on it goes
