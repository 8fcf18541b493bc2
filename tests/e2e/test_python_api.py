"""`energan.train`, `evaluate`, `export` and `sweep`, as a Python user calls them."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

import energan
from energan.core import DataError, Optimiser, RunError, SettingError
from energan.experiment.resume import resume
from energan.experiment.settings import load
from energan.training.loop import Hook
from energan.training.train_state import TrainState

SMALL: dict[str, Any] = {
    "model": {"generator": [16], "encoder": [16], "latent": 4},
    "output": {"log_every": 5, "sample_every": 10, "checkpoint_every": 10, "tensorboard": False},
    "engine": {"threads": 1},
    "progress": False,
}
"""An EBGAN that trains in about a second."""
REST = {name: value for name, value in SMALL.items() if name != "model"}


def images(count: int = 60, channels: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, channels, 8, 8), generator=generator, dtype=torch.uint8)


class Pictures(Dataset[Any]):
    """(picture of Pillow, label), as torchvision's data sets give them."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(images(40)[index, 0].numpy()), index % 3


DATA: dict[str, tuple[Any, tuple[int, ...], int | None]] = {
    "uint8 tensor": (images(), (1, 8, 8), None),
    "float array": (images().numpy() / 255, (1, 8, 8), None),
    "colour last": (images(60, 3).permute(0, 2, 3, 1).numpy(), (3, 8, 8), None),
    "points": (torch.randn(60, 5), (5,), None),
    "labelled": ((images(), torch.arange(60) % 4), (1, 8, 8), 4),
    "tensor data set": (TensorDataset(images(), torch.arange(60) % 2), (1, 8, 8), 2),
    "pictures": (Pictures(), (1, 8, 8), 3),
}


@pytest.mark.parametrize("case", DATA)
def test_own_data_trains_and_stays_with_the_run(tmp_path: Path, case: str) -> None:
    data, shape, classes = DATA[case]
    recipe = "ebgan-ring" if case == "points" else "ebgan-digits"
    run = energan.train(recipe, data=data, steps=5, out=tmp_path / "run", **SMALL)
    assert run.domain.shape == shape
    assert run.domain.classes == classes
    assert run.sample(3).shape == (3, *shape)
    kept = np.load(tmp_path / "run" / "data.npz")
    first = data[0] if isinstance(data, tuple) else data
    if not isinstance(data, Dataset):
        assert np.array_equal(kept["x"], np.asarray(first))
    assert ("y" in kept) == (classes is not None)


def test_a_run_on_own_data_is_resumed_also_where_it_was_moved_to(tmp_path: Path) -> None:
    energan.train("ebgan-digits", data=images(), steps=5, out=tmp_path / "a", **SMALL)
    shutil.move(tmp_path / "a", tmp_path / "b")
    resume([tmp_path / "b"], steps=8, progress=False)
    assert energan.load(tmp_path / "b").step == 8


def test_own_data_takes_settings_of_data_too(tmp_path: Path) -> None:
    run = energan.train(
        "ebgan-digits", data={"source": images(), "range": "unit", "held_out": 7}, steps=2,
        out=tmp_path / "run", **{**SMALL, "model": {**SMALL["model"], "output": "sigmoid"}},
    )  # fmt: skip
    assert (run.domain.low, run.domain.high) == (0.0, 1.0)
    assert run.config["resolved"]["data"]["events"] == 53


BAD: dict[str, tuple[Any, str]] = {
    "unlike shapes": ([torch.zeros(1, 8, 8), torch.zeros(1, 9, 9)], "different shapes"),
    "integers": (torch.zeros(5, 3, dtype=torch.int64), "int64 values"),
    "a triple": ((1, 2, 3), r"give \(examples, labels\)"),
    "a list": ([images()], "of type list is not supported"),
    "too few labels": (
        (images(), torch.zeros(3, dtype=torch.int64)),
        r"\(3,\); 60 examples need .* \(60,\)",
    ),
    "not finite": (torch.full((9, 2), torch.nan), "NaN or infinite"),
}


class Items(Dataset[Any]):
    def __init__(self, items: list[torch.Tensor]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.items[index]


@pytest.mark.parametrize("case", BAD)
def test_unfit_data_is_refused_and_leaves_nothing_behind(tmp_path: Path, case: str) -> None:
    data, message = BAD[case]
    if case == "unlike shapes":
        data = Items(data)
    with pytest.raises(DataError, match=message):
        energan.train("ebgan-digits", data=data, steps=2, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_other_arrays_is_left_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((3, 2)))
    with pytest.raises(RunError, match="holds other files"):
        energan.train("ebgan-digits", data=images(), steps=2, out=tmp_path, **SMALL)
    assert np.load(tmp_path / "data.npz")["x"].shape == (3, 2)


def test_seeds_give_a_run_each_and_equal_single_runs(tmp_path: Path) -> None:
    runs = energan.train(
        "ebgan-digits", data=images(), steps=4, seeds=[3, 5], out=tmp_path / "both", **SMALL
    )
    assert [run.path for run in runs] == [tmp_path / "both" / "s3", tmp_path / "both" / "s5"]
    assert [run.job.settings.seed for run in runs] == [3, 5]
    alone = energan.train(
        "ebgan-digits", data=images(), steps=4, seed=5, out=tmp_path / "alone", **SMALL
    )
    assert torch.equal(runs[1].sample(4), alone.sample(4))
    assert not torch.equal(runs[0].sample(4), alone.sample(4))
    two = energan.train("ebgan-digits", steps=2, seeds=2, out=tmp_path / "count", **SMALL)
    assert [run.job.settings.seed for run in two] == [0, 1]
    for seeds in (0, [1, 1]):
        with pytest.raises(SettingError, match="give their number"):
            energan.train("ebgan-digits", steps=2, seeds=seeds, **SMALL)


def test_callbacks_see_figures_and_end_the_training(tmp_path: Path) -> None:
    seen: list[tuple[int, dict[str, float]]] = []
    steps: list[int] = []

    class Count(Hook):
        def step(self, loop: TrainState) -> None:
            steps.append(loop.step)

    def until_ten(step: int, figures: dict[str, float]) -> bool:
        seen.append((step, figures))
        return step >= 10

    run = energan.train(
        "ebgan-digits", steps=50, out=tmp_path / "run", callbacks=[until_ten, Count()], **SMALL
    )
    assert run.step == 10
    assert steps == list(range(1, 11))
    assert run.folder.state() == "stopped"
    assert "loss_energy" in dict(seen)[5]
    assert any("sliced_wasserstein" in figures for _, figures in seen)
    resume([run.path], steps=12, progress=False)
    assert energan.load(run.path).step == 12


def test_evaluate_takes_a_folder_and_puts_scores_together(tmp_path: Path) -> None:
    run = energan.train("ebgan-digits", steps=10, out=tmp_path / "run", **SMALL)
    found = energan.evaluate(
        run.path, metrics=["sliced_wasserstein"], other_data=["noise"], samples=50, resamples=10
    )
    names = [result.name for result in found.results]
    assert names == ["auroc_noise", "sliced_wasserstein"]
    assert found["sliced_wasserstein"].value > 0
    assert "sliced_wasserstein" in repr(found)
    assert "<td>auroc_noise</td>" in found._repr_html_()
    with pytest.raises(KeyError, match="available: auroc_noise, sliced_wasserstein"):
        found["error"]
    with pytest.raises(SettingError, match="does not classify"):
        energan.evaluate(run, metrics=["error"])


def test_evaluate_of_a_classifier_gives_its_error(tmp_path: Path) -> None:
    labels = torch.arange(60) % 3
    run = energan.train(
        "few-labels", data={"source": (images(), labels), "size": 8}, steps=3,
        out=tmp_path / "run", model={"hidden": [8], "labelled": 3},
        training={"batch_size": 8}, progress=False,
    )  # fmt: skip
    found = energan.evaluate(run)
    assert 0 <= found["error"].value <= 1
    assert "calibration_error" in repr(found)


def test_few_labels_marked_by_minus_one_are_kept(tmp_path: Path) -> None:
    labels = torch.full((60,), -1)
    labels[:30] = torch.arange(30) % 3
    run = energan.train(
        "few-labels", data={"source": (images(), labels), "size": 8, "held_out": 0}, steps=2,
        out=tmp_path / "run", model={"hidden": [8], "labelled": 3},
        training={"batch_size": 8}, progress=False,
    )  # fmt: skip
    assert run.config["resolved"]["data"]["labelled"] == 30
    assert run.domain.classes == 3


def test_export_takes_a_folder(tmp_path: Path) -> None:
    run = energan.train("ebgan-digits", steps=2, out=tmp_path / "run", **SMALL)
    files = energan.export(run.path, "safetensors", tmp_path / "out")
    assert {file.part for file in files} == {"generator", "energy"}
    assert all(file.path.exists() for file in files)


def test_a_sweep_in_one_call(tmp_path: Path, forked: None) -> None:
    own = energan.Sweep(
        "own", "two margins", "ebgan-digits", {"model.margin": (1, 4)},
        base={f"model.{name}": value for name, value in SMALL["model"].items()},
    )  # fmt: skip
    words: dict[str, Any] = {"steps": 4, "samples": 20, "processes": 1, "threads": 1}
    found = energan.sweep(own, out=tmp_path / "own", metrics=["sliced_wasserstein"], **words)
    assert found.missing == 0
    assert [record["state"] for record in found.records] == ["done", "done"]
    frame = found.to_frame()
    assert sorted(frame["model.margin"]) == [1, 4]
    best = found.best
    assert best is not None
    scores = frame.set_index("id")["sliced_wasserstein"]
    assert scores[best["id"]] == scores.min()
    assert found.best_run().step == 4
    assert (found.path / "report.html").exists()
    assert "2 trials" in found._repr_html_()
    with pytest.raises(SettingError, match="sets this for each trial"):
        energan.sweep(own, model={"margin": 2})
    with pytest.raises(SettingError, match="steps and scale cannot"):
        energan.sweep(own, steps=1, scale=0.5)


OWN = '''"""A model of one's own."""

from energan.core import Domain, Model
from energan.models import gan


class Config(gan.Config):
    """Settings of it."""


def build(config: Config, domain: Domain) -> Model:
    return gan.build(config, domain)
'''


def test_a_model_of_ones_own_is_named_by_its_module_or_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_gan.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("own_gan")
    unit = {**REST, "data": {"range": "unit"}}
    for i, (model, width) in enumerate([(own, None), (own.Config(latent=3), 3)]):
        run = energan.train("ebgan-digits", model=model, steps=2, out=tmp_path / f"{i}", **unit)
        assert run.job.model == "own_gan"
        assert run.job.settings.model.latent == (width or own.Config().latent)
    from energan.models import ebgan

    run = energan.train(
        "ebgan-ring", model=ebgan.Config(margin=3.0), steps=2, out=tmp_path / "e", **REST
    )
    assert run.job.model == "ebgan"
    recipe = energan.load(tmp_path / "e").job.settings.model
    assert recipe.margin == 3
    assert recipe.latent == load("ebgan-ring").settings.model.latent


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (torch.nn.Linear(2, 2), "not a Linear"),
        (lambda domain: None, "not a function"),
        (torch, "module|defines no"),
        (Optimiser(), "defines no build"),
        (energan, "defines no Config"),
    ],
)
def test_what_is_no_model_is_refused_and_never_left_out(
    tmp_path: Path, model: Any, said: str
) -> None:
    with pytest.raises(SettingError, match=said):
        energan.train("gan-ring", model=model, steps=2, out=tmp_path / "run", **REST)
    assert not (tmp_path / "run").exists()


def test_training_leaves_torchs_threads_and_generator_as_they_were(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    energan.train("ebgan-ring", steps=2, out=tmp_path / "run", **SMALL)
    assert torch.get_num_threads() == 3
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_num_threads(threads)
