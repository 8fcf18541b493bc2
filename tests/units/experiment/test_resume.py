"""A run goes on only with the settings that it was trained with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import energan
from energan.core import RunError, SettingError
from energan.experiment.resume import resume
from energan.experiment.settings import load, settings_hash
from energan.io.run_folder import RunFolder
from energan.training.device import Device

ROOT = Path(__file__).parents[3]
QUIET = {"log_every": 5, "sample_every": 0, "checkpoint_every": 2, "tensorboard": False}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ring"
    energan.train(
        "ebgan-ring", steps=2, out=out, engine={"threads": 1}, output=QUIET, progress=False
    )
    return out


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "ring"))


def edit(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(hash="0123456789abcdef"),
        lambda c: c.pop("hash"),
        lambda c: c["settings"].update(seed=1),
        lambda c: c["settings"]["training"].update(batch_size=50),
        lambda c: c["settings"]["model"].update(margin=3.0),
        lambda c: c["resolved"].update(precision="64"),
        lambda c: c["resolved"].update(ranks=2),
        lambda c: c["resolved"]["data"].update(fingerprint="0"),
    ],
)
def test_an_edited_config_is_refused(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(run, change)
    with pytest.raises(RunError, match=r"config\.json was edited: .* --out NEW"):
        resume([run], steps=4, progress=False)


def test_what_a_resume_itself_changes_and_what_does_not_change_the_result_goes_on(
    run: Path,
) -> None:
    edit(run, lambda c: c["settings"]["output"].update(log_every=1))
    edit(run, lambda c: c["settings"]["training"].update(rollbacks=2))
    resume([run], steps=4, progress=False)
    resume([run], steps=6, progress=False)
    assert RunFolder(run).state() == "finished"


def test_settings_that_this_version_added_do_not_make_a_run_an_edited_one(run: Path) -> None:
    """Of a run by an earlier version, which knew fewer: its hash covers those it knew."""

    def earlier(config: dict[str, Any]) -> None:
        settings, resolved = config["settings"], config["resolved"]
        del settings["training"]["ema_every"], settings["model"]["reduction"]
        data = resolved["data"]["fingerprint"]
        config["hash"] = settings_hash(config["model"], settings, data, resolved["precision"])

    edit(run, earlier)
    resume([run], steps=4, progress=False)
    resume([run], steps=6, progress=False)
    assert RunFolder(run).state() == "finished"


@pytest.mark.parametrize(
    ("recipe", "known"),
    [
        ("ebgan-digits", "e7ea1425b437b45a"), ("gan-ring", "6b2610b13d905c55"),
        ("igebm-mnist", "b6aed1bdae225154"), ("igebm-ring", "eb28151602f0e7b6"),
    ],
)  # fmt: skip
def test_a_recipe_has_the_hash_that_version_0_3_gave_it(recipe: str, known: str) -> None:
    """Else the trials of its sweeps would be other ones, and their folders refused."""
    assert load(recipe).hash("data", "fp32") == known


def test_the_hashes_of_older_runs_follow_from_what_they_keep() -> None:
    count = 0
    for path in (ROOT / "docs" / "results").glob("*.json"):
        kept = json.loads(path.read_text(encoding="utf8"))
        if not isinstance(kept, dict) or "resolved" not in kept:
            continue
        settings, resolved = kept["settings"], kept["resolved"]
        if margin := resolved.get("margin"):
            settings["model"]["margin"] = margin["margin"]
        origin, ranks = resolved["from"], resolved.get("ranks", 1)
        known = resolved["data"]["fingerprint"], resolved["precision"]
        first = origin and origin["sha256"]
        assert settings_hash(kept["model"], settings, *known, first, ranks) == kept["hash"], path
        count += 1
    assert count > 20


@pytest.mark.parametrize("threads", [0, -1, 10**6])
def test_no_machine_has_so_many_threads(run: Path, threads: int) -> None:
    """Torch would end the process."""
    with pytest.raises(SettingError, match="threads: "):
        resume([run], steps=4, threads=threads, progress=False)


def test_a_run_goes_on_on_another_device(run: Path) -> None:
    """That of its settings may be gone; the new one is that of this part of the training alone."""
    edit(run, lambda c: c["settings"]["engine"].update(device="cuda:7"))
    with pytest.raises(SettingError, match=r"engine\.device"):
        resume([run], steps=4, progress=False)
    resume([run], steps=4, device="cpu", progress=False)
    assert RunFolder(run).read("start")[-1]["device"] == "cpu"
    assert RunFolder(run).read_config()["settings"]["engine"]["device"] == "cuda:7"


def test_bf16_without_units_for_it_is_told(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Device, "emulates", False)
    resume([run], steps=4)
    assert "emulates" not in capsys.readouterr().err
    monkeypatch.setattr(Device, "emulates", True)
    resume([run], steps=6)
    assert "bf16, which this machine's cpu only emulates" in capsys.readouterr().err
