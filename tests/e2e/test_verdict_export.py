"""`energan export --format verdict`: judge.py where there is no torch, beside `energan score`."""

import csv
import json
import re
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

import energan
from energan.core import SettingError
from energan.exporters import export
from energan.exporters.judge import Judge, JudgeError
from support.commands import refused, run
from support.image_files import noise
from support.judge_files import readable, unreadable

pytestmark = pytest.mark.usefixtures("onnx_operators_listed_once")
BLOCKED = """
import runpy, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "energan", "scipy", "matplotlib", "tifffile"):
            raise ImportError(f"{name} is not to be imported")
sys.meta_path.insert(0, Blocker())
script = sys.argv[1]
sys.argv = sys.argv[1:]
runpy.run_path(script, run_name="__main__")
"""
TINY = [
    "--steps", "4", "--threads", "1", "--output.sample-every", "0", "--output.no-tensorboard",
    "--training.batch-size", "8",
]  # fmt: skip
RUNS = {
    "grey": ("ebgan-folder", "--data.channels", "grey", "--data.background", "#306090",
             "--data.crop", "1", "2", "16", "15", "--data.size", "16", "--model.margin", "3"),
    "tiles": ("ebgan-folder", "--data.size", "24", "20", "--data.fit", "pad", "--data.tile", "16",
              "--model.margin", "3"),
    "inspect-deep": ("inspect-folder", "--data.size", "16", "--model.width", "4", "--model.scales",
                     "2", "--model.cell", "1", "--model.window", "4",
                     "--model.energy-optimiser.lr", "0.05"),
    "features": ("inspect-features", "--data.size", "16", "--model.memory", "64"),
    "igebm": ("igebm-cifar10", "--data.size", "16", "--model.stages", "8", "--model.blocks", "1",
              "--model.steps", "2", "--model.buffer", "16"),
}  # fmt: skip
"""The range inside, windows cut inside, an energy that is a map, one on features of another run,
and one without heat maps."""


def pictures(folder: Path, deep: bool, first: int = 0) -> Path:
    """60 photographs of normal parts."""
    folder.mkdir()
    for i in range(first, first + 60):
        pixels = noise(1, 16 + i % 5, 18, i)[0] // 4 + 90
        made = (pixels[..., 0].astype(np.uint16) * 200) if deep else pixels
        Image.fromarray(made).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module", params=RUNS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    recipe, *words = RUNS[request.param]
    parts = pictures(folder / "parts", "deep" in request.param)
    data = ["--data", str(parts), "--data.held-out", "30"]
    if recipe == "inspect-features":
        network, *small = RUNS["inspect-deep"]
        assert run("train", network, *data, "--out", folder / "network", *small, *TINY) == 0
        words += ["--model.features", str(folder / "network")]
    assert run("train", recipe, *data, "--out", folder / "run", *words, *TINY) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """The folder of a verdict, away from its run."""
    out = trained.parent / "verdict"
    assert run("export", trained, "--format", "verdict", "--out", out) == 0
    return out


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "images"
    folder.mkdir()
    kinds = {**readable(), **unreadable()}
    for name, content in kinds.items():
        if name not in ("bands.tif", "colour16.tif", "floats.tif", "scan.dcm", "one.png"):
            (folder / name).write_bytes(content)
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf8", newline="") as file:
        return list(csv.DictReader(file))


def judge(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, folder / "judge.py", *map(str, words)],
        capture_output=True, text=True, timeout=240, cwd=folder,
    )  # fmt: skip


def assert_same(
    exported: Path, found: list[dict[str, str]], expected: list[dict[str, str]]
) -> None:
    """The same rows; a percentile may differ where a normal energy is as near as rounding."""
    assert [row["image"] for row in found] == [row["image"] for row in expected]
    assert list(found[0]) == list(expected[0])
    about = json.loads((exported / "verdict.json").read_text())
    normal = np.array(about["calibration"]["energies"])
    for one, other in zip(found, expected, strict=True):
        energy = float(other["energy"])
        assert float(one["energy"]) == pytest.approx(energy, rel=1e-4)
        if np.abs(normal - energy).min() > 1e-5 * abs(energy):
            verdicts = [(row["percentile"], row["anomalous"]) for row in (one, other)]
            assert verdicts[0] == verdicts[1]


def test_without_torch_it_says_what_score_says(
    trained: Path, exported: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = pictures(tmp_path / "new", "deep" in trained.parent.name, 1000)
    capsys.readouterr()
    words = (images, *sorted(parts.iterdir()))
    assert run("score", trained, *words, "--layout", "flat", "--out", tmp_path / "one.csv") == 0
    done = judge(exported, *words, "--out", tmp_path / "two.csv")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert_same(exported, table(tmp_path / "two.csv"), table(tmp_path / "one.csv"))
    assert f"{len(table(tmp_path / 'one.csv'))} scored" in done.stdout
    (left_out,) = re.findall(r"\d+ could not be read and were skipped", capsys.readouterr().out)
    assert left_out in done.stdout
    assert "torn.jpg: " in done.stdout


def test_heat_maps_are_those_of_the_run(trained: Path, exported: Path, images: Path) -> None:
    loaded, judged = energan.load(trained), Judge(exported)
    if trained.parent.name.startswith("igebm"):
        assert judged.heatmap_kind is None
        with pytest.raises(JudgeError, match="leave --heatmaps out"):
            judged.score([images], heatmaps=True)
        return
    small = ("small.png", "deep.pgm")  # smaller than the crop of a run
    names = sorted(readable().keys() - {*small, "one.png"})
    files = [str(images / name) for name in names]
    # one by one, as Run.heatmap takes files: deep images among others change how these are resized
    found = [judged.score([file], heatmaps=True).images[0] for file in files]
    made = np.stack([one.heatmap for one in found])
    expected = loaded.heatmap(files).numpy()
    assert np.abs(made - expected).max() <= 1e-4 * np.abs(expected).max()
    energies = [one.energy for one in found]
    np.testing.assert_allclose(energies, loaded.energy(files).numpy(), rtol=1e-4)


def test_it_draws_the_worst_first(trained: Path, exported: Path, tmp_path: Path) -> None:
    parts, maps = trained.parent / "parts", tmp_path / "maps"
    done = judge(exported, parts, "--heatmaps", maps, "--limit-heatmaps", "3", "--json")
    if trained.parent.name.startswith("igebm"):
        assert done.returncode == 2
        assert done.stderr.startswith("judge.py: this export has no heat maps")
        return
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    worst = sorted(said["images"], key=lambda one: -one["energy"])[:3]
    names = [f"{i:03d}-{Path(one['image']).stem}.png" for i, one in enumerate(worst, 1)]
    assert sorted(path.name for path in maps.iterdir()) == names
    with Image.open(maps / names[0]) as picture:
        assert picture.width > 2 * 256 > picture.height
        assert f"image {worst[0]['image']}" in picture.text["Description"]


def test_the_folder_says_what_it_is_and_holds_no_path(exported: Path, trained: Path) -> None:
    names = {path.name for path in exported.iterdir()}
    assert names == {"energy.onnx", "judge.py", "verdict.json", "README.txt"}
    about = json.loads((exported / "verdict.json").read_text())
    run_config = json.loads((trained / "config.json").read_text())
    assert (about["run"], about["step"], about["weights"]) == (
        run_config["hash"],
        4,
        about["weights"],
    )
    assert about["energan"] == energan.__version__
    kept = json.loads((trained / "calibration.json").read_text())
    assert about["calibration"]["energies"] == kept["energies"]
    assert (about["threshold"], about["fpr"]) == (kept["threshold"], kept["fpr"])
    for name in names - {"judge.py"}:
        assert str(trained.parent).encode() not in (exported / name).read_bytes()
    assert f"{kept['threshold']:.6g}" in (exported / "README.txt").read_text()


@pytest.mark.parametrize("trained", ["grey"], indirect=True)
def test_a_users_errors_are_one_sentence(exported: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    for words, said in (
        ([tmp_path / "gone.png"], "gone.png does not exist"),
        ([tmp_path], "no image can be read (the first, "),
        ([images, "--out", "scores.txt"], "name a .csv file"),
        ([images, "--heatmaps", exported / "judge.py"], "is a file: name a folder"),
        ([images, "--folder", tmp_path], "verdict.json cannot be read"),
    ):
        done = judge(exported, *words)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("judge.py: ")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("trained", ["grey"], indirect=True)
def test_files_of_two_exports_are_not_mixed(exported: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(exported, tmp_path / "copied"))
    with (copied / "energy.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(JudgeError, match="is not the file that"):
        Judge(copied)


def test_what_has_no_verdict_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ring, digits = tmp_path / "ring", tmp_path / "digits"
    assert run("train", "gan-ring", "--out", ring, *TINY) == 0
    assert "was trained on points" in refused(capsys, "export", ring, "--format", "verdict")
    assert not (ring / "calibration.json").exists()
    assert run("train", "ebgan-digits", "--out", digits, *TINY) == 0
    loaded = energan.load(digits)
    with pytest.raises(SettingError, match=r"has no threshold: call run\.calibrate\(\) first"):
        export(loaded, "verdict")
    words = ("export", digits, "--format", "verdict")
    assert "leave --part out" in refused(capsys, *words, "--part", "energy")
    assert run(*words) == 0
    assert "would be overwritten: add --force" in refused(capsys, *words)
    assert run(*words, "--force") == 0
    assert (digits / "verdict" / "judge.py").exists()


def install(folder: Path, wanted: list[str]) -> None:
    """As pip would: links to the packages of this environment, and to those that they require."""
    done = set[str]()
    while wanted:
        found = distribution(wanted.pop())
        if found.name in done:
            continue
        done.add(found.name)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            (folder / top).symlink_to(str(found.locate_file(top)))
        needed = [Requirement(line) for line in found.requires or ()]
        wanted += [r.name for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
@pytest.mark.parametrize("trained", ["grey"], indirect=True)
def test_in_an_environment_of_its_own(exported: Path, trained: Path, tmp_path: Path) -> None:
    """A new one with what README.txt says to install, and nothing else."""
    venv.create(tmp_path / "env", symlinks=True)
    (line,) = re.findall(r"pip install (.*)", (exported / "README.txt").read_text())
    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    install(packages, line.split())
    assert not (packages / "torch").exists()
    parts = pictures(tmp_path / "new", deep=False, first=1000)
    words = [tmp_path / "env" / "bin" / "python", "-I", exported / "judge.py", parts]
    done = subprocess.run([*words, "--out", tmp_path / "two.csv"], capture_output=True, text=True,
                          timeout=200, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    score = ("score", trained, parts, "--layout", "flat")
    assert run(*score, "--out", tmp_path / "one.csv") == 0
    assert_same(exported, table(tmp_path / "two.csv"), table(tmp_path / "one.csv"))
