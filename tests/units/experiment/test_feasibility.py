"""What fits in no memory, and sizes that a model cannot take, are told before work begins."""

import pytest
import torch

from energan.core import DataError, Domain, SettingError
from energan.experiment import feasibility
from energan.experiment.build import build
from energan.experiment.feasibility import check_fits, check_size
from energan.experiment.settings import load
from energan.experiment.start import start
from energan.io import memory
from energan.training.device import EngineSettings, choose
from energan.training.step_cost import count_step

CPU = choose(EngineSettings(device="cpu"), switches=False)
DIGITS = Domain((1, 8, 8), -1.0, 1.0, 10, torch.zeros(1, 8, 8))


@pytest.mark.parametrize(
    ("recipe", "side"),
    [("ebgan-folder", 50), ("dcgan-celeba", 27), ("pix2pix-facades", 50), ("ebgan-folder", 7),
     ("ebgan-imagenet-128", 100), ("cdcgan-mnist", 31)],
)  # fmt: skip
@pytest.mark.parametrize("setting", ["size", "pad", "random_crop", "tile"])
def test_a_size_that_the_model_cannot_take_is_refused_before_data_is_opened(
    recipe: str, side: int, setting: str
) -> None:
    data = {"source": "nowhere", "size": None, "pad": None, "random_crop": None, setting: side}
    job = load(recipe).changed({"data": data})
    with pytest.raises(SettingError, match=rf"{side}x{side}"):
        check_size(job, CPU)
    with pytest.raises(SettingError, match=rf"{side}x{side}"):
        start([job])


@pytest.mark.parametrize("recipe", ["ebgan-folder", "ebgan-digits", "igebm-mnist", "few-labels"])
@pytest.mark.parametrize("side", [None, 64])
def test_a_size_that_the_model_takes_is_left_to_the_data(recipe: str, side: int | None) -> None:
    data = {"source": "nowhere", "size": side, "pad": None, "random_crop": None}
    job = load(recipe).changed({"data": data})
    check_size(job, CPU)
    with pytest.raises(DataError, match="nowhere"):
        start([job])


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("ebgan-folder", {"data": {"size": 8192}}),
        ("ebgan-folder", {"data": {"size": 256}, "training": {"batch_size": 65_536}}),
        ("igebm-cifar10", {"data": {"size": 4096}}),
        ("ebgan-digits", {"data": {"size": 8}, "model": {"latent": 10**9}}),
        ("ebgan-digits", {"data": {"size": 8}, "model": {"encoder": [10**9, 10**9]}}),
        ("ebgan-folder", {"data": {"size": 64}, "model": {"encoder": [10**9, 10**9]}}),
    ],
)
def test_what_fits_in_no_memory_is_refused_at_once(
    recipe: str, changes: dict[str, dict[str, object]]
) -> None:
    job = load(recipe).changed(changes)
    with pytest.raises(
        SettingError, match=r"free: reduce training|fit in memory: reduce"
    ) as raised:
        start([job.changed({"data": {"source": "nowhere"}})])
    assert "\n" not in str(raised.value)


def test_the_numbers_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    job = load("ebgan-digits")
    check_fits(job, DIGITS, CPU)
    model = build(job, DIGITS, 0)
    count = sum(p.numel() for n in (model.energy, model.sampler) for p in n.parameters())
    _, kept = count_step(build(job, DIGITS, 0), DIGITS, job.settings.training.batch_size)
    needed = int(feasibility.SURE * (3 * 4 * count + int(kept)))
    monkeypatch.setattr("energan.training.device.free_memory", lambda: needed)
    check_fits(job, DIGITS, CPU)
    monkeypatch.setattr("energan.training.device.free_memory", lambda: needed - 1)
    with pytest.raises(SettingError, match=r"with batches of \d+ of 1x8x8, would take \d+ MB, and"):
        check_fits(job, DIGITS, CPU)


def test_a_sentence_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 2_000_000_000)
    memory.check_memory(2_000_000_000, "a batch", "lower it")
    with pytest.raises(DataError) as raised:
        memory.check_memory(10**30, "a batch", "lower it")
    assert str(raised.value) == "a batch would take 1e+30 bytes, and 2.0 GB are free: lower it"
