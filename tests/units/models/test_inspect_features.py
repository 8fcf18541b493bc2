"""Energies on frozen features: which network, how its images are prepared, what is refused."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from energan.core import DataError, Domain, RunError, SettingError
from energan.experiment.settings import load
from energan.experiment.start import start
from energan.inference.run import Run
from energan.models import inspect_features
from energan.models.inspect_features import Config
from support.feature_networks import tiny_onnx

UNIT = Domain((1, 8, 8), 0.0, 1.0)
SMALL = {
    "output": {"sample_every": 0, "tensorboard": False},
    "engine": {"threads": 1},
    "training": {"steps": 2, "batch_size": 16, "ema_every": 1},
}


def train(out: Path, recipe: str, model: dict[str, object], data: dict[str, object]) -> Run:
    job = load(recipe).changed({**SMALL, "model": model, "data": data})
    (folder,) = start([job], [out], progress=False)
    return Run(folder.path)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Runs on the digits: a convolutional auto-encoder at 16×16, and a fully connected one."""
    out = tmp_path_factory.mktemp("runs")
    maps = {"generator": [8], "encoder": [4, 8], "latent": 4}
    flat = {"generator": [16], "encoder": [16], "latent": 4}
    data = {"source": "digits", "range": "signed"}
    return {
        "maps": train(out / "maps", "ebgan-folder", {**maps, "margin": 1.0}, {**data, "size": 16}),
        "flat": train(out / "flat", "ebgan-digits", flat, data),
    }


def test_features_of_a_run_are_those_of_its_layers_in_its_range(encoders: dict[str, Run]) -> None:
    run = encoders["maps"]
    names = [n for n, m in run.energy_network.named_modules() if isinstance(m, torch.nn.Conv2d)]
    layer = f"energy.{names[0]}"
    config = Config(features=str(run.path), layers=(layer,), window=1)
    shape = (1, 16, 16)
    features = inspect_features.feature_maps(config, Domain(shape, 0.0, 1.0), shape)
    x = torch.rand(3, *shape)
    kept: list[torch.Tensor] = []
    module = dict(run.energy_network.named_modules())[names[0]]
    handle = module.register_forward_hook(lambda m, given, made: kept.append(made))
    run.energy(2 * x - 1)  # its own images lie in [-1, 1]
    handle.remove()
    torch.testing.assert_close(features(x), kept[0])


def test_without_layers_a_convolutional_run_gives_its_encoder(encoders: dict[str, Run]) -> None:
    config = Config(features=str(encoders["maps"].path), memory=20)
    model = inspect_features.build(config, Domain((1, 16, 16), -1.0, 1.0))
    assert "encoder" in model.chosen["features"]
    assert "decoder" not in model.chosen["features"]


def test_a_fully_connected_run_gives_its_code_as_one_cell(encoders: dict[str, Run]) -> None:
    run = encoders["flat"]
    config = Config(features=str(run.path), energy="gaussian", channels=0)
    features = inspect_features.feature_maps(config, Domain((1, 8, 8), -1.0, 1.0), (1, 8, 8))
    assert features.shape[1:] == (1, 1)
    x = torch.rand(3, 1, 8, 8) * 2 - 1
    assert features.shape[0] == run.code(x).shape[1]


def test_a_run_of_other_images_is_refused(encoders: dict[str, Run]) -> None:
    config = Config(features=str(encoders["flat"].path))
    with pytest.raises(SettingError, match="was trained on 1x8x8 and does not take 1x16x16"):
        inspect_features.build(config, Domain((1, 16, 16), -1.0, 1.0))


def test_grey_images_serve_all_channels_of_a_network() -> None:
    config = Config(features=str(tiny_onnx(3)), memory=20)
    assert "6 of" in inspect_features.build(config, UNIT).chosen["features"]


@pytest.mark.parametrize(
    ("features", "error", "said"),
    [
        (None, SettingError, "model.features is not set"),
        ("missing.onnx", SettingError, "no such file or run"),
        ("notes.txt", SettingError, "pickled weights are never read"),
        ("net.onnx", DataError, "cannot be read as an ONNX file"),
        (".", RunError, "holds no run"),
    ],
)
def test_what_is_no_network_is_refused(
    features: str | None,
    error: type[Exception],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "net.onnx").write_text("x")
    with pytest.raises(error, match=said):
        inspect_features.build(Config(features=features), UNIT)


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError, match="window 4 is even"):
        Config(window=4)
    assert Config(features="a.onnx").features == str(Path("a.onnx").absolute())
    assert Config(energy="gaussian").chosen_channels == 100
    assert Config(energy="gaussian", positions=False).chosen_channels == 0
