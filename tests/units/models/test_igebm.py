"""IGEBM as a model: its steps by the data's range, what it refuses, labels through a resume."""

from pathlib import Path

import pytest
import torch

from energan.core import Domain, Model, SettingError, place_seed
from energan.models import igebm, igebm_points
from energan.samplers import StepRule
from energan.samplers.chains import ChainSampler
from energan.training import checkpoint
from support.helpers import assert_identical, make_loop, small_data, snapshot

UNIT = Domain((1, 8, 8), 0.0, 1.0, classes=10)
SIGNED = Domain((1, 8, 8), -1.0, 1.0, classes=10)
PLANE = Domain((2,))


def test_the_defaults_are_the_published_ones_and_follow_the_range() -> None:
    """Step 10, noise 0.005, bound 0.01 on [0, 1]; 40, 0.01 and 0.005 on [−1, 1]; K 60."""
    config = igebm.Config()
    rules = []
    for domain in (UNIT, SIGNED):
        built = igebm.build(config.model_copy(update={"stages": (4,), "buffer": 8}), domain)
        assert isinstance(built.sampler, ChainSampler)
        rules.append(built.sampler.rule)
    assert rules[0] == StepRule(10.0, 0.005, 0.01, 0.0, 1.0, True)
    assert rules[1] == StepRule(40.0, 0.01, 0.005, -1.0, 1.0, True)
    assert (config.steps, config.buffer, config.restart, config.energy_l2) == (60, 10_000, 0.05, 1)
    assert (config.energy_optimiser.lr, config.energy_optimiser.beta1) == (1e-4, 0)
    assert "step 40" in built.chosen["chains"]


@pytest.mark.parametrize("domain", [UNIT, SIGNED])
def test_noise_on_data_is_a_share_of_the_range(domain: Domain) -> None:
    built = igebm.build(igebm.Config.tiny().model_copy(update={"data_noise": 0.1}), domain)
    assert domain.low is not None
    assert domain.high is not None
    objective = built.objective
    assert objective.data_noise == pytest.approx(0.1 * (domain.high - domain.low))  # type: ignore[attr-defined]
    assert (objective.low, objective.high) == (domain.low, domain.high)  # type: ignore[attr-defined]


def test_mistakes_are_told() -> None:
    tiny = igebm.Config.tiny()
    with pytest.raises(SettingError, match="points"):
        igebm.build(tiny, PLANE)
    with pytest.raises(SettingError, match=r"small model\.step-size"):  # √10 of a range of 1
        igebm.build(tiny.model_copy(update={"noise": None}), UNIT)
    with pytest.raises(SettingError, match="labels"):
        igebm.build(tiny.model_copy(update={"conditional": True}), Domain((1, 8, 8), 0.0, 1.0))
    points = igebm_points.Config.tiny()
    with pytest.raises(SettingError, match="igebm for images"):
        igebm_points.build(points, UNIT)
    for ignored in ({"noise": 0.1}, {"clip": 1.0}):
        with pytest.raises(SettingError, match="langevin"):
            igebm_points.build(points.model_copy(update=ignored), PLANE)
        langevin = {**ignored, "dynamics": "langevin"}
        igebm_points.build(points.model_copy(update=langevin), PLANE)


def test_a_buffer_smaller_than_the_batch_is_told_before_anything_is_made() -> None:
    from energan.experiment.build import loop_of
    from energan.training.device import Device
    from energan.training.settings import TrainingSettings

    built = igebm.build(igebm.Config.tiny(), UNIT)
    engine = Device(torch.device("cpu"), "32", 1)
    with pytest.raises(SettingError, match=r"buffer 32.* 33 chains"):
        loop_of([built], TrainingSettings(batch_size=33), small_data(UNIT), engine, [0])


def conditional(seed: int) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(place_seed(seed, "init"))
        config = igebm.Config.tiny().model_copy(update={"conditional": True, "data_noise": 0.01})
        return igebm.build(config, UNIT)


def test_a_resumed_conditional_run_equals_one_that_did_not_stop(tmp_path: Path) -> None:
    """Chains, ages and labels lie in the checkpoint, and are written in place by training."""
    whole, half, resumed = (make_loop(conditional, small_data(UNIT), steps=8) for _ in range(3))
    for _ in range(8):
        whole.advance()
    for _ in range(4):
        half.advance()
    path = checkpoint.save(tmp_path, half)
    for _ in range(3):
        half.advance()  # what it writes must not reach the file
    checkpoint.restore(path, resumed)
    for _ in range(4):
        resumed.advance()
    assert set(resumed.state) == {"chains", "ages", "labels"}
    assert_identical(snapshot(whole), snapshot(resumed))


def test_energies_are_in_full_precision_under_autocast() -> None:
    """bf16 has 8 bits: of 200 energies hardly two would be alike in float32."""
    torch.manual_seed(0)
    image, point = torch.rand(200, 1, 8, 8), torch.randn(200, 2)
    for model, x in ((igebm, image), (igebm_points, point)):
        domain = UNIT if model is igebm else PLANE
        energy = model.build(model.Config.tiny(), domain).energy  # type: ignore[attr-defined]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            u = energy(x, stream="eval").energy
        assert u.dtype == torch.float32
        assert len(u.unique()) > 150
