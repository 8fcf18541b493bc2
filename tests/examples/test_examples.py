"""The scripts under examples/ run, on few steps and embedded data."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from energan.cli.main import main
from energan.data import DataSettings, open_data
from energan.io.pictures import save_samples

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))


def script(name: str) -> Callable[..., object]:
    return runpy.run_path(str(EXAMPLES / name))["main"]  # type: ignore[no-any-return]


def test_there_are_six_of_at_most_forty_lines() -> None:
    assert len(SCRIPTS) == 6
    for name in SCRIPTS:
        assert len((EXAMPLES / name).read_text(encoding="utf8").splitlines()) <= 45, name


def test_train_and_sample(tmp_path: Path) -> None:
    script("train_and_sample.py")(steps=20, out=str(tmp_path / "run"))
    assert (tmp_path / "run" / "drawn.png").exists()


def test_own_folder(tmp_path: Path) -> None:
    data = open_data(DataSettings(source="digits", held_out=100))
    save_samples(tmp_path / "photos", data.gather(torch.arange(60)).x, data.domain)
    script("own_folder.py")(str(tmp_path / "photos"), steps=4, size=16, out=str(tmp_path / "run"))
    assert (tmp_path / "run" / "checkpoints").is_dir()


def test_few_labels(tmp_path: Path) -> None:
    assert script("few_labels.py")(scale="1/300", out=str(tmp_path / "run")) > 0.5


def test_anomaly_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script("anomaly_score.py")(steps=30, out=str(tmp_path / "run"))
    assert "eights and nines" in capsys.readouterr().out


def test_a_model_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    words = ["train", "--model", "hinge_gan", "--data", "ring", "--steps", "20"]
    assert main([*words, "--model.width", "16", "--out", str(tmp_path / "run")]) == 0
    sys.modules.pop("hinge_gan", None)


def test_a_sweep_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], forked: None
) -> None:
    words = ["sweep", str(EXAMPLES / "margins.py"), "--steps", "10", "--sample", "2"]
    code = main([*words, "--samples", "100", "--out", str(tmp_path / "sweep")])
    assert code == 0, capsys.readouterr().err
    assert len(list((tmp_path / "sweep" / "results").glob("*.json"))) == 2
