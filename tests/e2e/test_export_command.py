"""`energan export` as a user types it, and its files in a process that has no energan."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import energan
from energan.core import PerSample
from energan.samplers.generator import Generator, latent
from support.commands import refused, run

pytestmark = pytest.mark.usefixtures("onnx_operators_listed_once")
RECIPES = ["ebgan-digits", "gan-ring", "ebgan-ring"]
FRESH = """
import sys, warnings
import numpy as np
format, *folders = sys.argv[1:]
if format == "torch":
    import torch
    warnings.simplefilter("ignore", DeprecationWarning)
    def run(folder, name, values):
        with torch.no_grad():
            return torch.jit.load(f"{folder}/{name}.pt")(torch.from_numpy(values)).numpy()
else:
    import onnxruntime
    def run(folder, name, values):
        session = onnxruntime.InferenceSession(f"{folder}/{name}.onnx")
        return session.run(None, {"z" if name == "generator" else "x": values})[0]
    assert "torch" not in sys.modules
for folder in folders:
    x = np.load(folder + "/x.npy")
    made = run(folder, "generator", np.load(folder + "/z.npy"))
    np.savez(folder + "/given.npz", x=made, energy=run(folder, "energy", x))
assert not [name for name in sys.modules if name.startswith("energan")]
"""


def train_short(recipe: str, out: Path) -> Path:
    words = ["--steps", "5", "--threads", "1", "--output.sample-every", "0"]
    assert run("train", recipe, "--out", out, *words, "--output.no-tensorboard") == 0
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    return [train_short(recipe, root / recipe) for recipe in RECIPES]


@pytest.fixture
def trained(runs: list[Path]) -> Path:
    return runs[0]


@pytest.mark.parametrize("format", ["torch", "onnx"])
def test_a_process_without_energan_gets_what_the_runs_give(
    format: str, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / path.name for path in runs]
    for path, folder in zip(runs, folders, strict=True):
        capsys.readouterr()
        assert run("export", path, "--format", format, "--out", folder) == 0
        said = capsys.readouterr()
        assert said.err == ""
        lines = said.out.splitlines()
        suffix = "pt" if format == "torch" else "onnx"
        names = [f"generator.{suffix}", f"energy.{suffix}"]
        assert [line.split(": ")[0] for line in lines] == [str(folder / name) for name in names]
        assert all("B, equals the run" in line or "B, as the run" in line for line in lines)
        loaded = energan.load(path)
        assert isinstance(loaded.sampler, Generator)
        draws = PerSample(8, loaded.domain.shape).at("sample", 0)
        z = latent(draws, loaded.sampler.prior, 6, loaded.sampler.latent_size)
        np.save(folder / "z.npy", z.numpy())
        np.save(folder / "x.npy", loaded.sample(6, seed=8).numpy())
    done = subprocess.run(
        [sys.executable, "-c", FRESH, format, *map(str, folders)],
        capture_output=True, text=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for path, folder in zip(runs, folders, strict=True):
        given, x = np.load(folder / "given.npz"), np.load(folder / "x.npy")
        np.testing.assert_allclose(given["x"], x, rtol=1e-4, atol=1e-5)
        energy = energan.load(path).energy(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(given["energy"], energy, rtol=1e-4, atol=1e-5)


def test_it_writes_into_the_run_and_asks_before_it_overwrites(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("export", trained, "--format", "safetensors", "--part", "energy")
    assert run(*words) == 0
    path = trained / "export" / "energy.safetensors"
    before = path.read_bytes()
    raw = ("--weights", "raw", "--checkpoint", "0")
    assert "would be overwritten" in refused(capsys, *words, *raw)
    assert path.read_bytes() == before
    assert run(*words, *raw, "--force") == 0
    entry = json.loads((trained / "export" / "export.json").read_text())["files"][path.name]
    assert (entry["step"], entry["weights"]) == (0, "raw")
    assert path.read_bytes() != before


def test_a_users_errors_are_one_sentence(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert "holds no run" in refused(capsys, "export", tmp_path, "--format", "onnx")
    words = ("export", trained, "--out", tmp_path / "out")
    assert "did you mean torch?" in refused(capsys, *words, "--format", "torchscript")
    assert "has no checkpoint" in refused(capsys, *words, "--format", "torch", "--checkpoint", "3")
    monkeypatch.setitem(sys.modules, "onnx", None)
    error = refused(capsys, *words, "--format", "onnx")
    assert "onnx files need onnx: pip install 'energan[export]'" in error
    assert not (tmp_path / "out").exists()


def test_help_lists_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "export RUN" in capsys.readouterr().out
