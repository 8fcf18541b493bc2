"""A run at a glance."""

from pathlib import Path

from energan.io.run_folder import RunFolder
from energan.io.run_summary import DAMAGED, summarise

CONFIG = {
    "recipe": "ebgan-digits", "model": "ebgan", "asked": {}, "settings": {"training": {"steps": 9}},
    "resolved": {
        "precision": "32", "threads": 1, "from": None,
        "domain": {"shape": [1, 8, 8], "low": -1.0, "high": 1.0, "classes": 10},
        "data": {"name": "digits", "events": 10, "fingerprint": "0"},
    },
}  # fmt: skip


def folder(path: Path) -> RunFolder:
    path.mkdir()
    made = RunFolder(path)
    made.write_config(CONFIG)
    made.append("start", step=0)
    return made


def test_the_last_figures_of_each_kind_and_how_far_it_is(tmp_path: Path) -> None:
    run = folder(tmp_path / "a")
    run.append("step", step=2, energy_real=1.0, energy_fake=2.0)
    run.append("score", step=2, sliced_wasserstein=0.5)
    run.append("step", step=4, energy_real=0.25, other=7.0)
    found = summarise(run)
    assert (found.recipe, found.state, found.progress) == ("ebgan-digits", "interrupted", "4/9")
    assert found.figures == {"energy_real": 0.25, "sliced_wasserstein": 0.5}
    assert not found.reason


def test_why_a_run_ended(tmp_path: Path) -> None:
    run = folder(tmp_path / "a")
    run.append("stopped", step=3, reason="SIGTERM")
    assert (summarise(run).state, summarise(run).reason) == ("stopped", "SIGTERM")
    run.append("start", step=3)
    run.append("finished", step=9)
    assert (summarise(run).state, summarise(run).reason) == ("finished", "")


def test_a_damaged_run_has_its_reason(tmp_path: Path) -> None:
    run = folder(tmp_path / "a")
    run.config.write_text("{")
    found = summarise(run)
    assert found.state == DAMAGED
    assert "config.json cannot be read" in found.reason
    assert not found.progress
