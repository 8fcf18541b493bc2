"""The source of a model of one's own: kept with its run, part of its hash, compared on resume."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import energan
from energan.experiment.own_code import own_code
from energan.experiment.resume import resume
from energan.io.run_folder import RunFolder
from energan.sweeps.trials import trial_id

MODEL = """
import torch
from energan.core import Domain, Model
from energan.models import gan
from own_package import {parts}
from .widths import WIDTH

class Config(gan.Config):
    pass

def build(config: Config, domain: Domain) -> Model:
    return gan.build(config.model_copy(update={{"output": "linear", "latent": WIDTH}}), domain)
"""
FILES = {
    "own_package/__init__.py": "",
    "own_package/model.py": MODEL.format(parts="parts"),
    "own_package/widths.py": "import beside_it\nWIDTH = 8\n",
    "own_package/parts.py": "import json\n",
    "own_package/unused.py": "UNUSED = 1\n",
    "beside_it.py": "",
}
USED = sorted({*FILES} - {"own_package/unused.py"})
QUIET = {"log_every": 5, "sample_every": 0, "checkpoint_every": 2, "tensorboard": False}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, source in FILES.items():
        path = tmp_path / "place" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    monkeypatch.syspath_prepend(tmp_path / "place")
    before = {*sys.modules}
    yield tmp_path / "place"
    for name in {*sys.modules} - before:
        if name.startswith(("own_package", "beside_it")):
            del sys.modules[name]


def train(out: Path, **changes: object) -> dict[str, object]:
    energan.train(
        "gan-ring", model="own_package.model", steps=2, out=out, engine={"threads": 1},
        output=QUIET, progress=False, **changes,
    )  # fmt: skip
    config: dict[str, object] = json.loads((out / "config.json").read_text())
    return config


def test_a_run_keeps_the_modules_that_its_model_is_made_of(package: Path, tmp_path: Path) -> None:
    config = train(tmp_path / "run")
    found = own_code("own_package.model")
    assert found is not None
    assert config["resolved"]["code"] == {"sha256": found.sha256, "files": USED}  # type: ignore[index]
    kept = tmp_path / "run" / "code"
    there = sorted(p.relative_to(kept).as_posix() for p in kept.rglob("*") if p.is_file())
    assert there == USED
    assert all((kept / name).read_text() == FILES[name] for name in USED)


def test_what_a_function_imports_belongs_to_it_before_and_after_it_is_loaded(
    package: Path, tmp_path: Path
) -> None:
    model, late = package / "own_package" / "model.py", package / "own_package" / "late.py"
    late.write_text("LATE = 1\n")
    broken = package / "beside_it.py"
    broken.write_text("def never():\n    import own_package.broken\n")
    (package / "own_package" / "broken.py").write_text("print 'of another Python'\n")
    model.write_text(
        model.read_text().replace(
            "    return", "    from . import late\n    assert late\n    return"
        )
    )
    before = own_code("own_package.model")
    assert before is not None
    assert {"own_package/late.py", "own_package/broken.py"} <= {*before.files}
    job = energan.experiment.settings.load("gan-ring", "own_package.model")
    trial = trial_id(job, "data")
    config = train(tmp_path / "run")
    assert "own_package.late" in sys.modules
    assert config["resolved"]["code"]["sha256"] == before.sha256  # type: ignore[index]
    assert trial_id(job, "data") == trial


def test_models_of_energan_have_none(tmp_path: Path) -> None:
    assert own_code("gan") is None
    energan.train("gan-ring", steps=1, out=tmp_path / "r", output=QUIET, progress=False)
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert "code" not in config["resolved"]
    assert not (tmp_path / "r" / "code").exists()


def test_the_hash_of_a_run_and_of_a_trial_covers_it(package: Path, tmp_path: Path) -> None:
    first = train(tmp_path / "a")
    assert train(tmp_path / "b")["hash"] == first["hash"]
    job = energan.experiment.settings.load(str(tmp_path / "a"))
    trial = trial_id(job, "data")
    widths = package / "own_package" / "widths.py"
    widths.write_text(widths.read_text() + "# another word\n")
    assert train(tmp_path / "c")["hash"] != first["hash"]
    assert trial_id(job, "data") != trial
    widths.write_bytes(FILES["own_package/widths.py"].replace("\n", "\r\n").encode())
    assert train(tmp_path / "d")["hash"] == first["hash"]  # Windows' line ends


def test_a_resume_says_that_the_code_changed_and_continues(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run")
    resume([tmp_path / "run"], steps=4, progress=False)
    assert "has changed" not in capsys.readouterr().err
    (package / "own_package" / "parts.py").write_text("import json  # changed\n")
    resume([tmp_path / "run"], steps=6, progress=False)
    said = capsys.readouterr().err
    assert "warning: the code of the model own_package.model has changed since" in said
    folder = RunFolder(tmp_path / "run")
    now = own_code("own_package.model")
    assert now is not None
    assert folder.read("resume")[-1]["code"] == now.sha256
    assert (folder.code / "own_package" / "parts.py").read_text() == "import json\n"


def test_training_from_a_runs_settings_says_that_the_code_changed(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run")
    settings = str(tmp_path / "run" / "config.json")
    energan.train(settings, out=tmp_path / "again")
    assert "warning: the code" not in capsys.readouterr().err
    (package / "own_package" / "parts.py").write_text("import json  # changed\n")
    energan.train(settings, out=tmp_path / "other")
    assert "is not the one that these settings were trained with" in capsys.readouterr().err
