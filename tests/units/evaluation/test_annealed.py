"""Held-out log-likelihood by annealing: beside the exact one in the plane, and of images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import energan
from energan.core import Domain, SettingError
from energan.evaluation import annealed
from energan.evaluation.evaluate import parse_metrics
from energan.inference.chain_traces import Mixing
from energan.inference.run import Run
from energan.metrics.partition import log_partition
from energan.models import gan, igebm

Train = Callable[..., Run]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("STAGES", 60), ("LONG", 60), ("JUDGED", 200), ("MOST", 64)):
        monkeypatch.setattr(annealed, name, value)


@pytest.fixture
def train(tmp_path: Path) -> Train:
    def trained(recipe: str, **how: Any) -> Run:
        quiet = {"output": {"sample_every": 0}, "engine": {"threads": 1}, "progress": False}
        return energan.train(recipe, out=tmp_path / "run", **quiet, **how)

    return trained


def scores(run: Run) -> dict[str, Any]:
    made = energan.evaluate(run, metrics=["annealed_log_likelihood"], samples=20)
    return {result.name: result for result in made.results}


def test_in_the_plane_it_is_the_exact_one(train: Train, short: None) -> None:
    run = train("igebm-ring", steps=20, model={"hidden": [8], "steps": 3, "buffer": 64},
                training={"batch_size": 32})  # fmt: skip
    assert run.temperature == 1
    found = scores(run)
    of = found["annealed_log_likelihood"]
    low, high = of.details["range"]
    u = run.potential()
    exact = log_partition(lambda x: u(x.float()), [low, low], [high, high], 128)
    assert of.details["log_z_lower"] == pytest.approx(exact, abs=0.1)
    assert of.details["log_z_upper"] == pytest.approx(exact, abs=0.1)
    assert of.low < of.value < of.high
    assert "bits_per_dimension" not in found
    assert found["chain_rhat"].value < 2
    assert found["chain_ess"].value > 20


@pytest.mark.parametrize(("rhat", "warned"), [(1.05, False), (1.2, True)])
def test_chains_that_did_not_mix_are_warned_of(
    rhat: float,
    warned: bool,
    train: Train,
    short: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(annealed, "mixing_of", lambda *_: Mixing(rhat, 100.0, 1.0, 100.0, 1000))
    run = train("igebm-ring", steps=2, model={"hidden": [8], "steps": 3, "buffer": 64},
                training={"batch_size": 32})  # fmt: skip
    assert scores(run)["chain_rhat"].value == rhat
    assert ("split R-hat of the chains is 1.2, above 1.1" in capsys.readouterr().err) == warned


def test_images_are_told_in_bits(train: Train, short: None) -> None:
    """An energy that knows nothing is the uniform density: 8 bits for each of 256 levels."""
    run = train(
        "igebm-mnist", steps=1, data={"source": "digits", "range": "signed"},
        model={"stages": [4], "blocks": [1], "steps": 1, "buffer": 64, "step_size": 0.001,
               "noise": None, "clip": None, "energy_optimiser": {"lr": 0.0}},
    )  # fmt: skip
    assert run.temperature == 1
    found = scores(run)
    assert found["bits_per_dimension"].value == pytest.approx(8.0, abs=0.1)
    nats = found["annealed_log_likelihood"].value
    per = 8 - nats / run.domain.size / torch.tensor(2.0).log() - 1  # the range is 2 wide
    assert found["bits_per_dimension"].value == pytest.approx(float(per))


def test_levels_are_spread_over_the_range() -> None:
    domain = Domain((1, 1, 256), -1.0, 1.0)
    x = torch.linspace(-1, 1, 256).view(1, 1, 1, 256)
    spread = annealed._dequantised(x, domain, 0)
    assert torch.equal(((spread + 1) / 2 * 256).floor().flatten(), torch.arange(256.0))


def test_energies_of_no_temperature_have_none() -> None:
    images = Domain((1, 8, 8), 0.0, 1.0)
    tiny = igebm.Config.tiny()
    assert igebm.build(tiny, images).temperature is None  # its chains bound the gradient
    free = tiny.model_copy(update={"clip": None})
    assert igebm.build(free, images).temperature == pytest.approx(0.005**2 / 20)
    assert gan.build(gan.Config.tiny(), images).temperature is None
    assert parse_metrics(["bpd"]) == ["annealed_log_likelihood"]


def test_others_are_refused(train: Train) -> None:
    run = train("ebgan-ring", steps=1,
                model={"generator": [8], "encoder": [8], "latent": 2, "margin": 1.0})  # fmt: skip
    with pytest.raises(SettingError, match="not a log-density"):
        energan.evaluate(run, metrics=["bits_per_dimension"], samples=20)
