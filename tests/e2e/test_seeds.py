"""Several seeds at once: each folder is its seed's single run."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from energan.cli import main as cli
from energan.core import DivergenceError, RunError, SettingError
from energan.experiment.compatibility import jobs_of
from energan.experiment.folders import seed_folders
from energan.experiment.resume import common_step, resume
from energan.experiment.settings import Job, load
from energan.experiment.start import start
from energan.inference.run import Run
from energan.io.run_folder import RunFolder
from energan.training import checkpoint_folder
from energan.training.hooks import Checkpoints
from energan.training.loop import Loop
from support.forks import start as start_command
from support.helpers import weight_files

LADDER = {"hidden": (32, 16), "labelled": 20}
SMALL: dict[str, dict[str, Any]] = {
    "ladder": LADDER,
    "ebgan_ln": {**LADDER, "generator": (16, 16), "latent": 8},
    "ebgan": {"generator": (16, 16), "encoder": (16,), "pull_away": 0.1, "dropout": 0.1},
    "gan": {"generator": (16, 16), "discriminator": (16, 8), "output": "sigmoid"},
}


def job_of(model: str, steps: int = 20, **groups: dict[str, Any]) -> Job:
    changes: dict[str, dict[str, Any]] = {
        "model": SMALL[model],
        "data": {"source": "digits", "range": "unit" if model != "ebgan" else "signed"},
        "training": {"steps": steps, "batch_size": 32},
        "engine": {"precision": "64", "threads": 1},
        "output": {"log_every": 5, "sample_every": 20, "checkpoint_every": 10,
                   "tensorboard": False, "keep": 5},
    }  # fmt: skip
    for group, values in groups.items():
        changes[group] = {**changes.get(group, {}), **values}
    return load(None, model).changed(changes)


def start_seeds(job: Job, count: int, out: Path, *, progress: bool = True) -> list[RunFolder]:
    jobs = jobs_of(job, count)
    return start(jobs, seed_folders(out, jobs), progress=progress)


def tensors(run: Path, step: int) -> dict[str, torch.Tensor]:
    folder = run / "checkpoints" / f"step-{step:06d}"
    return load_file(folder / "weights.safetensors") | load_file(folder / "state.safetensors")


def assert_close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """Relative error ≤ 2e-9 of each weight; of batch norm's means, which cancel, ≤ 1e-8 of the
    standard deviations beside them; of an optimiser's means of gradients that are hardly more than
    rounding, as of a ladder's upper combinators at first, ≤ 1e-6."""
    assert a.keys() == b.keys()
    for name, value in b.items():
        assert a[name].shape == value.shape, name
        off = torch.linalg.vector_norm(a[name].double() - value.double())
        error, scale = 1e-6 if ".optimiser." in name else 2e-9, value
        if name.endswith(".mean"):
            error, scale = 1e-8, b[name.removesuffix("mean") + "variance"].sqrt()
        assert off <= error * torch.linalg.vector_norm(scale.double()) + 1e-12, name


def files(run: Path) -> set[str]:
    return {str(p.relative_to(run)) for p in run.rglob("*") if p.name != ".lock"}


@pytest.mark.parametrize("model", SMALL)
def test_each_folder_is_its_single_run(model: str, tmp_path: Path) -> None:
    """float64, 20 steps: weights, optimiser state and losses to 2e-9, all else the same."""
    job = job_of(model)
    done = start_seeds(job, 2, tmp_path / "together", progress=False)
    assert [f.path.name for f in done] == ["s0", "s1"]
    for seed, folder in enumerate(done):
        own = job if seed == 0 else job.changed({"seed": seed})
        alone = start([own], [tmp_path / f"alone{seed}"], progress=False)[0]
        assert folder.read_config() == alone.read_config()
        assert files(folder.path) == files(alone.path)
        for step in (0, 10, 20):
            assert_close(tensors(folder.path, step), tensors(alone.path, step))
            metas = [
                checkpoint_folder.read_meta(f.checkpoints / f"step-{step:06d}")
                for f in (folder, alone)
            ]
            assert [m.seeds for m in metas] == [[seed], [seed]]
        for a, b in zip(folder.read(), alone.read(), strict=True):
            a.pop("cohort", None)
            for event in (a, b):
                event.pop("time")
                event.pop("images_per_s", None)
            assert a.keys() == b.keys()
            for name, value in a.items():
                near = (
                    pytest.approx(b[name], rel=1e-5, abs=1e-7)
                    if isinstance(value, float)
                    else b[name]
                )
                assert value == near, name


def test_every_command_that_asks_for_a_run_takes_a_member(tmp_path: Path) -> None:
    done = start_seeds(job_of("ebgan"), 2, tmp_path, progress=False)
    run = Run(done[1].path)
    assert run.sample(4).shape == (4, 1, 8, 8)
    assert done[1].state() == "finished"
    config = done[1].read_config()
    assert config["settings"]["seed"] == config["asked"]["seed"] == 1


class Stop:
    """Tells a loop to stop at a step, as a signal does."""

    def __init__(self, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
        step = Loop.advance

        def advance(loop: Loop) -> None:
            step(loop)
            if loop.step == at:
                loop.stop_signal = signal.Signals.SIGTERM.name

        monkeypatch.setattr(Loop, "advance", advance)


@pytest.mark.parametrize("model", ["ladder", "ebgan"])
def test_a_stopped_cohort_goes_on_bit_for_bit(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(model)
    whole = start_seeds(job, 3, tmp_path / "whole", progress=False)
    with monkeypatch.context() as patch:
        Stop(7, patch)
        part = start_seeds(job, 3, tmp_path / "part", progress=False)
    assert [f.read("stopped")[-1]["reason"] for f in part] == ["SIGTERM"] * 3
    assert [f.state() for f in part] == ["stopped"] * 3
    assert [checkpoint_folder.listed(f.checkpoints)[-1].name for f in part] == ["step-000007"] * 3
    resume([f.path for f in part], progress=False)
    for a, b in zip(whole, part, strict=True):
        assert weight_files(a.path, 20) == weight_files(b.path, 20)
        assert b.state() == "finished"
        losses = [[(e["step"], e["loss_energy"]) for e in f.read("step")] for f in (a, b)]
        assert losses[0][-1] == losses[1][-1]


def test_one_member_goes_on_alone_as_a_single_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of("ebgan")
    with monkeypatch.context() as patch:
        Stop(7, patch)
        part = start_seeds(job, 2, tmp_path / "part", progress=False)
    resume([part[1].path], progress=False)
    alone = start([job.changed({"seed": 1})], [tmp_path / "alone"], progress=False)[0]
    assert_close(tensors(part[1].path, 20), tensors(alone.path, 20))
    assert part[0].state() == "stopped"


def test_killed_between_two_checkpoints_all_go_back_to_the_step_they_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of("ebgan")
    whole = start_seeds(job, 2, tmp_path / "whole", progress=False)
    write, count = Checkpoints.write, 0

    def killed(hook: Checkpoints, loop: Loop) -> None:
        nonlocal count
        count += 1
        if count == 6:  # steps 0 and 10 of both, step 20 of the first
            raise KeyboardInterrupt
        write(hook, loop)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            start_seeds(job, 2, tmp_path / "part", progress=False)
    folders = [tmp_path / "part" / "s0", tmp_path / "part" / "s1"]
    assert [checkpoint_folder.listed(f / "checkpoints")[-1].name for f in folders] == [
        "step-000020",
        "step-000010",
    ]
    assert common_step([RunFolder(f) for f in folders]) == 10
    resume(folders, progress=False)
    for a, b in zip(whole, folders, strict=True):
        assert weight_files(a.path, 20) == weight_files(b, 20)


def diverging(monkeypatch: pytest.MonkeyPatch, members: Sequence[int], at: int) -> None:
    """Members of a cohort get a weight that is not a number at a step."""
    step = Loop.advance

    def advance(loop: Loop) -> None:
        if loop.step == at:
            for member in members:
                next(loop.energy.parameters()).data[member] = torch.nan
        step(loop)

    monkeypatch.setattr(Loop, "advance", advance)


def test_a_member_that_diverges_keeps_its_checkpoint_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_of("ebgan")
    with monkeypatch.context() as patch:
        diverging(patch, [1], at=12)
        done = start_seeds(job, 3, tmp_path / "runs")
    assert [f.path.name for f in done if f.state() == "diverged"] == ["s1"]
    assert [f.state() for f in done] == ["finished", "diverged", "finished"]
    assert "not finite at step 13" in done[1].read("diverged")[0]["reason"]
    assert checkpoint_folder.listed(done[1].checkpoints)[-1].name == "step-000010"
    assert "seed 1 diverged, the others continue" in capsys.readouterr().err
    assert Run(done[1].path).step == 10
    alone = start([job.changed({"seed": 2})], [tmp_path / "alone"], progress=False)[0]
    assert_close(tensors(done[2].path, 20), tensors(alone.path, 20))


def test_if_every_member_diverges_the_cohort_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging(monkeypatch, [0, 1], at=3)
    with pytest.raises(DivergenceError, match="every seed diverged"):
        start_seeds(job_of("ebgan"), 2, tmp_path, progress=False)
    assert [RunFolder(tmp_path / s).state() for s in ("s0", "s1")] == ["diverged"] * 2


def test_what_is_no_cohort_is_refused(tmp_path: Path) -> None:
    job = job_of("ebgan", steps=2, output={"sample_every": 0})
    with pytest.raises(SettingError, match="cannot be rolled back alone"):
        start_seeds(job.changed({"training": {"on_divergence": "rollback"}}), 2, tmp_path / "r")
    assert not (tmp_path / "r").exists()
    done = start_seeds(job, 2, tmp_path / "a", progress=False)
    a, b = (f.path for f in done)
    with pytest.raises(RunError, match="already holds a run"):
        start_seeds(job, 2, tmp_path / "a")
    with pytest.raises(RunError, match="is named twice"):
        resume([a, a], steps=4)
    with pytest.raises(RunError, match="have finished their 2 steps"):
        resume([a, b])
    for change, said in (
        ({"training": {"batch_size": 16}}, "differ in their settings of training"),
        ({"model": {"reduction": "sum"}}, "differ in the energy's layers"),
    ):
        other = start([job.changed(change)], [tmp_path / said[-8:]], progress=False)[0]
        with pytest.raises((RunError, SettingError), match=said):
            resume([a, other.path], steps=4)


WORDS = [
    "train", "ebgan-digits", "--steps", "20", "--model.generator", "16", "16", "--model.encoder",
    "16", "--training.batch-size", "16", "--output.log-every", "10", "--output.sample-every", "20",
    "--threads", "1", "--output.no-tensorboard",
]  # fmt: skip


@pytest.mark.parametrize("way", ["cohort", "processes"])
def test_three_seeds_by_the_command(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], forked: None
) -> None:
    threads = "3" if way == "processes" else "1"  # three at once
    words = [*WORDS, "--seeds", "3", "--together", way, "--threads", threads]
    assert cli.main([*words, "--seed", "4", "--out", str(tmp_path / way)]) == 0
    said = capsys.readouterr()
    folders = [tmp_path / way / f"s{seed}" for seed in (4, 5, 6)]
    assert all(RunFolder(f).state() == "finished" for f in folders)
    assert "energan evaluate" in said.out
    assert str(folders[1]) in said.out
    configs = [json.loads((f / "config.json").read_text()) for f in folders]
    assert [c["settings"]["seed"] for c in configs] == [4, 5, 6]
    assert len({c["hash"] for c in configs}) == 3
    if way == "processes":
        assert "s5: step 20/20" in said.err
        assert configs[0]["resolved"]["threads"] == 1
    # further, as the same kind
    assert cli.main(["resume", *map(str, folders), "--steps", "30"]) == 0
    assert [RunFolder(f).read("finished")[-1]["step"] for f in folders] == [30] * 3
    events = [RunFolder(f).read("start")[-1].get("cohort") for f in folders]
    assert events == ([[4, 5, 6]] * 3 if way == "cohort" else [None] * 3)


def test_a_model_without_a_member_axis_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "ebgan-blog", "--data", "digits", "--seeds", "2", "--together", "cohort"]
    assert cli.main([*words, "--out", str(tmp_path)]) == 2
    assert "cannot train several seeds as one program" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_stops_all_processes_which_say_how_to_go_on(tmp_path: Path, forked: None) -> None:
    words = [*WORDS, "--steps", "1000000", "--seeds", "3", "--together", "processes"]
    command = [*words, "--threads", "2", "--out", str(tmp_path)]
    process = start_command(command, tmp_path / "said.txt", tmp_path / "errors.txt")
    folders = [RunFolder(tmp_path / f"s{seed}") for seed in (0, 1)]
    for _ in range(2000):
        if all(folder.read("step") for folder in folders):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(200) == 128 + signal.SIGTERM, (tmp_path / "errors.txt").read_text()
    said = (tmp_path / "said.txt").read_text()
    assert [folder.state() for folder in folders] == ["stopped"] * 2
    assert not (tmp_path / "s2").exists()
    assert f"energan resume {folders[0].path} {folders[1].path}" in said
    assert "--seed 2 --seeds 1" in said


def test_a_signal_before_any_seed_has_begun_is_no_failure(tmp_path: Path, forked: None) -> None:
    words = [*WORDS, "--steps", "1000000", "--seeds", "2", "--together", "processes"]
    command = [*words, "--out", str(tmp_path / "runs")]
    process = start_command(command, tmp_path / "said.txt", tmp_path / "errors.txt")
    while not children_of(process.pid):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    code = process.wait(100)
    said, errors = ((tmp_path / name).read_text() for name in ("said.txt", "errors.txt"))
    assert code == 128 + signal.SIGTERM, errors
    assert "Traceback" not in errors
    assert "not started: 2 of 2 seeds; start them with" in said or "energan resume" in said


def children_of(parent: int) -> list[str]:
    return subprocess.run(
        ["pgrep", "-P", str(parent)], capture_output=True, text=True
    ).stdout.split()
