"""The margin's estimate."""

from pathlib import Path

import pytest
import torch

from energan.core import SettingError
from energan.data import DataSettings, open_data
from energan.experiment import margin, settings
from energan.training.device import Device
from energan.training.train_state import TrainState

CPU = Device(torch.device("cpu"), "32", 1)


def small(**model: object) -> settings.Job:
    changes = {"model": {"generator": [8], "encoder": [32], "margin": "auto", **model}}
    return settings.load("ebgan-digits").changed(changes)


def test_it_is_where_the_energy_of_held_out_data_settles_when_data_alone_speaks() -> None:
    data = open_data(DataSettings())
    found = margin.estimate(small(), data, CPU, steps=400)
    energies = [energy for _, energy in found.readings]
    assert energies[0] > 1.5 * energies[-1]  # it fell
    assert found.energy == pytest.approx(sum(energies[-4:]) / 4)
    assert found.margin == pytest.approx(4 * found.energy, rel=0.01)
    assert found.grid == pytest.approx([found.energy * f for f in (1, 2, 4, 8)], rel=0.01)
    assert not found.floored
    others = [found.energy * f for f in (1, 2, 8)]
    where = "had settled" if found.settled else "was still falling"
    assert found.says() == (
        f"margin {found.margin:g}: 4 times {found.grid[0]:g}, the energy of held-out data, "
        f"which {where} after {found.steps} steps of training the auto-encoder alone; if samples "
        "stay poor, try --model.margin {:.3g}, {:.3g} or {:.3g}".format(*others)
    )
    if found.settled:
        assert found.steps < 400


def test_the_same_seed_gives_the_same_estimate() -> None:
    data = open_data(DataSettings())
    a, b = (margin.estimate(small(), data, CPU, steps=50) for _ in range(2))
    assert a == b


def test_an_interrupted_estimate_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_data(DataSettings())
    whole = margin.estimate(small(), data, CPU, steps=60)
    read, steps = margin._Readings.step, list[int]()

    def step(self: margin._Readings, loop: TrainState) -> None:
        read(self, loop)
        steps.append(loop.step)
        if len(steps) == 33:
            loop.stop_signal = "SIGTERM"

    monkeypatch.setattr(margin._Readings, "step", step)
    with pytest.raises(margin.EstimateInterrupted) as stopped:
        margin.estimate(small(), data, CPU, steps=60, run=tmp_path)
    assert stopped.value.signal == "SIGTERM"
    stopped.value.keep(tmp_path)
    assert margin.estimate(small(), data, CPU, steps=60, run=tmp_path) == whole
    assert steps == list(range(1, 61))  # none was done twice
    (tmp_path / margin.KEPT / margin.READINGS).write_text("torn")
    assert margin.estimate(small(), data, CPU, steps=60, run=tmp_path) == whole


@pytest.mark.parametrize(
    ("reduction", "floor"), [("l2", 0.05 * 8), ("sum", 0.16), ("mean", 0.0025)]
)
def test_an_autoencoder_that_copies_gets_the_floor_and_says_so(
    reduction: str, floor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_data(DataSettings())
    job = small(reduction=reduction)
    assert margin._floor(job, data) == pytest.approx(floor)
    monkeypatch.setattr(margin, "FLOOR", 100.0)
    found = margin.estimate(job, data, CPU, steps=50)
    assert found.floored
    assert "copies its input" in found.says()
    assert found.margin == pytest.approx(4 * margin._floor(job, data), rel=0.01)


def test_a_model_without_a_margin_is_refused() -> None:
    job = settings.load("gan-mnist")
    with pytest.raises(SettingError, match="has no margin"):
        margin.estimate(job, open_data(DataSettings(range="unit")), CPU)
