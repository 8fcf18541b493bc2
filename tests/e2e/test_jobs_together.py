"""Jobs that differ in values and not in shapes, trained at once into folders of their own."""

from pathlib import Path
from typing import Any

import pytest

from e2e.test_seeds import Stop, assert_close, diverging, files, job_of, tensors
from energan.core import DivergenceError, RunError, SettingError
from energan.experiment.resume import resume
from energan.experiment.settings import Job
from energan.experiment.start import start
from energan.io.run_folder import RunFolder
from energan.training import checkpoint_folder
from energan.training.loop import Hook, Loop
from support.helpers import weight_files

CHANGES: list[dict[str, Any]] = [
    {},
    {"model": {"dropout": 0.0, "energy_optimiser": {"kind": "sgd", "lr": 0.01, "momentum": 0.5}}},
    {"model": {"margin": "linear(8, 2, 15)", "sampler_optimiser": {"beta1": 0.3, "lr": 0.0003}}},
]


def jobs() -> list[Job]:
    return [job_of("ebgan").changed(change) for change in CHANGES]


def folders(under: Path, count: int = len(CHANGES)) -> list[Path]:
    return [under / f"trial{i}" for i in range(count)]


def test_each_folder_is_its_single_run(tmp_path: Path) -> None:
    """float64, 20 steps, one seed for all: weights, optimiser state, config.json and its hash."""
    done = start(jobs(), folders(tmp_path / "together"), progress=False)
    assert {f.state() for f in done} == {"finished"}
    for i, (job, folder) in enumerate(zip(jobs(), done, strict=True)):
        alone = start([job], [tmp_path / f"alone{i}"], progress=False)[0]
        assert folder.read_config() == alone.read_config()
        assert files(folder.path) == files(alone.path)
        for step in (0, 10, 20):
            assert_close(tensors(folder.path, step), tensors(alone.path, step))
        assert [e["event"] for e in folder.read()] == [e["event"] for e in alone.read()]


class Told(Hook):
    """Keeps what it saw; ends everything at a step."""

    def __init__(self, until: int, folder: RunFolder) -> None:
        self.until, self.folder, self.seen = until, folder, []  # type: ignore[var-annotated]

    def step(self, loop: Loop) -> None:
        kept = checkpoint_folder.steps_in(self.folder.checkpoints)
        self.seen.append((loop.step, loop.members, max(kept)))
        if loop.step == self.until:
            raise RunError("taken away")


def test_a_hook_of_all_comes_first_and_may_end_all(tmp_path: Path) -> None:
    paths = folders(tmp_path)
    own = [RunFolder(path) for path in paths]
    told = Told(10, own[0])
    with pytest.raises(RunError, match="taken away"):
        start(jobs(), paths, hooks=[told], progress=False)
    # at step 10 the members' hooks would have written a checkpoint
    assert told.seen == [(step, 3, 0) for step in range(1, 11)]
    assert [checkpoint_folder.listed(f.checkpoints)[-1].name for f in own] == ["step-000000"] * 3
    again = Told(-1, own[0])
    resume(paths, hooks=[again], progress=False)
    assert [f.state() for f in own] == ["finished"] * 3
    assert len(again.seen) == 20


def test_stopped_they_go_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = start(jobs(), folders(tmp_path / "whole"), progress=False)
    with monkeypatch.context() as patch:
        Stop(7, patch)
        part = start(jobs(), folders(tmp_path / "part"), progress=False)
    assert [f.read("stopped")[-1]["reason"] for f in part] == ["SIGTERM"] * len(part)
    done = resume([f.path for f in part], progress=False)
    assert {f.state() for f in done} == {"finished"}
    for a, b in zip(whole, part, strict=True):
        assert weight_files(a.path, 20) == weight_files(b.path, 20)


def test_one_that_diverges_is_named_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        diverging(patch, [1], at=12)
        done = start(jobs(), folders(tmp_path / "one"))
    assert [f.state() for f in done] == ["finished", "diverged", "finished"]
    said = capsys.readouterr().err
    assert f"{done[1].path} diverged, the others continue" in said.replace("\n", "")
    diverging(monkeypatch, [0, 1, 2], at=3)
    with pytest.raises(DivergenceError, match="every run diverged"):
        start(jobs(), folders(tmp_path / "all"), progress=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training": {"steps": 30}}, "differ in their training settings"),
        ({"data": {"pad": 10}}, "differ in their data settings"),
        ({"engine": {"precision": "32"}}, "differ in their engine settings"),
        ({"model": {"pull_away": 0}}, "differ in the scheduled values"),
        ({"model": {"encoder": [17]}}, "differ in values, not in shapes"),
        ({"model": {"encoder": [16, 16]}}, "differ in values, not in shapes"),
        ({"model": {"loss": "square-square"}}, "differ in the objective"),
    ],
)
def test_what_is_no_cohort_is_refused_in_a_sentence(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    job = job_of("ebgan")
    with pytest.raises(SettingError, match=said):
        start([job, job.changed(change)], folders(tmp_path, 2), progress=False)
    assert not list(tmp_path.iterdir())


def test_folders_must_be_free_and_as_many(tmp_path: Path) -> None:
    two = jobs()[:2]
    with pytest.raises(RunError, match="as many different folders"):
        start(two, [tmp_path / "a"] * 2, progress=False)
    with pytest.raises(RunError, match="as many different folders"):
        start(two)  # of one seed: no folders are made for them
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("kept")
    with pytest.raises(RunError, match="holds other files"):
        start(two, [tmp_path / "a", tmp_path / "b"], progress=False)
    assert not (tmp_path / "a").exists()
