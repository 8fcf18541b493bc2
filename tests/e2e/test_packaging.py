"""The wheel and the sdist, built and installed as a user gets them; the container's file."""

import email
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from energan.version import __version__

ROOT = Path(__file__).parents[2]
FILES = ("pyproject.toml", "README.md", "LICENSE")
BUILD = (
    "from setuptools import build_meta as b; "
    "print(b.build_{kind}({out!r}))"
)  # fmt: skip


def build(source: Path, out: Path, kind: str) -> Path:
    out.mkdir(exist_ok=True)
    code = BUILD.format(kind=kind, out=str(out))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(wheel, sdist), the wheel made of what the sdist holds."""
    root = tmp_path_factory.mktemp("package")
    source = root / "source"
    source.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, source)
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", source / "src", ignore=skip)
    sdist = build(source, root / "dist", "sdist")
    with tarfile.open(sdist) as packed:
        packed.extractall(root / "unpacked", filter="data")
    (unpacked,) = (root / "unpacked").iterdir()
    return build(unpacked, root / "dist", "wheel"), sdist


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    words = ["install", "-q", "--no-deps", "--no-index", "--target", target, built[0]]
    subprocess.run([sys.executable, "-m", "pip", *map(str, words)], check=True)
    return target


def test_every_file_of_the_package_is_in_both(built: tuple[Path, Path]) -> None:
    kept = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "energan").rglob("*")
        if path.is_file() and path.suffix in (".py", ".j2", ".typed")
    }
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())
    assert kept <= names
    assert {name for name in names if ".dist-info/" not in name} == kept
    with tarfile.open(built[1]) as sdist:
        inside = {name.partition("/")[2] for name in sdist.getnames()}
    assert {f"src/{name}" for name in kept} | set(FILES) <= inside


def test_the_metadata_is_whole(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
        found = email.message_from_bytes(wheel.read(name))
        entry = wheel.read(name.replace("METADATA", "entry_points.txt")).decode()
        assert any(n.endswith("licenses/LICENSE") for n in wheel.namelist())
    assert (found["Name"], found["Version"]) == ("energan", __version__)
    assert found["License-Expression"] == "Apache-2.0"
    assert "energan = energan.cli.main:run" in entry
    extras = set(found.get_all("Provides-Extra") or [])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    assert extras == set(project["optional-dependencies"])
    assert {"mlflow", "wandb", "tensorboard", "export", "ray"} <= extras
    needs = [line for line in found.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert len(needs) == len(project["dependencies"])


def test_extras_name_only_extras_that_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    extras = project["optional-dependencies"]
    for needs in extras.values():
        for need in needs:
            if match := re.fullmatch(r"energan\[(.+)\]", need):
                assert set(match[1].split(",")) <= extras.keys()


def test_the_installed_wheel_works(installed: Path, tmp_path: Path) -> None:
    assert (installed / "energan" / "py.typed").exists()
    assert (installed / "energan" / "report" / "templates" / "template.html.j2").exists()
    code = (
        "import energan, importlib.metadata as m; from pathlib import Path; "
        "print(Path(energan.__file__).parent, energan.__version__, m.version('energan'))"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, script], env={"PYTHONPATH": str(installed)}, cwd=tmp_path,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(installed / "energan"), __version__, __version__], done
    for words in (["--version"], ["recipes"], ["--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "energan", *words], env={"PYTHONPATH": str(installed)},
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "energan" in done.stdout


def test_the_container_copies_what_is_there_and_its_extras_exist() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf8")
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", text, re.M) for name in line.split()]
    assert copied
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf8").splitlines()
        if line.startswith("!")
    }
    assert all((ROOT / name).exists() for name in copied)
    assert set(copied) == allowed
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    (extras,) = re.findall(r"'\.\[(.+)\]'", text)
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    stages = re.findall(r"^FROM \S+ AS (\w+)$", text, re.M)
    assert {"cpu", "cuda"} <= set(stages)


def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf8")
    assert f"\nversion: {__version__}\n" in text
