"""Checkpoints: refused by name when torn or altered, whole at every moment, never unpickled."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from energan.core import CheckpointError, DivergenceError
from energan.io.run_folder import RunFolder
from energan.training import checkpoint, checkpoint_folder
from energan.training.hooks import Checkpoints, Log
from energan.training.loop import Loop
from support.helpers import make_loop, model_case, snapshot


def a_loop(steps: int = 3, **options: object) -> Loop:
    case, data = model_case("ebgan")
    loop = make_loop(case, data, **options)
    for _ in range(steps):
        loop.advance()
    return loop


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints")
    loop = a_loop(1)
    checkpoint.save(path, loop)
    loop.advance()
    loop.advance()
    checkpoint.save(path, loop)
    return path


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """Two checkpoints, of steps 1 and 3."""
    return Path(shutil.copytree(saved, tmp_path, dirs_exist_ok=True))


@pytest.mark.parametrize("name", ["weights.safetensors", "state.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["cut", "flip", "gone", "empty"])
def test_a_damaged_file_is_refused_by_name_and_the_one_before_used(
    folder: Path, name: str, how: str
) -> None:
    file = folder / "step-000003" / name
    data = bytearray(file.read_bytes())
    if how == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif how == "flip":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif how == "gone":
        file.unlink()
    else:
        file.write_bytes(b"")
    path, refused = checkpoint_folder.newest_good(folder)
    assert path.name == "step-000001"
    assert len(refused) == 1
    assert "step-000003" in refused[0]
    assert name in refused[0]


def test_an_edited_step_is_noticed(folder: Path) -> None:
    file = folder / "step-000003" / "state.json"
    meta = json.loads(file.read_text())
    file.write_text(json.dumps({**meta, "step": 99}))
    with pytest.raises(CheckpointError, match="was altered"):
        checkpoint_folder.read_meta(file.parent)


def test_when_none_is_left_the_error_names_them_all(folder: Path) -> None:
    for path in checkpoint_folder.listed(folder):
        (path / "state.json").unlink()
    with pytest.raises(CheckpointError, match=r"step-000003.*step-000001.*no checkpoint is left"):
        checkpoint_folder.newest_good(folder)


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        checkpoint_folder.newest_good(tmp_path)


def test_it_holds_optimisers_average_scale_and_step(folder: Path) -> None:
    """A fault of public copies: checkpoints without the optimisers."""
    state = checkpoint_folder.read_tensors(folder / "step-000003", "state.safetensors")
    loop = a_loop(3)
    for network in ("energy", "sampler"):
        for name, _ in getattr(loop, network).named_parameters():
            for item in ("step", "exp_avg", "exp_avg_sq"):
                assert f"{network}.optimiser.{name}/{item}" in state
    weights = checkpoint_folder.read_tensors(folder / "step-000003", "weights.safetensors")
    assert {f"ema.{k}" for k in loop.networks.state_dict()} <= weights.keys()
    loop.rate_scale.fill_(0.25)
    other = a_loop(0)
    checkpoint.restore(checkpoint.save(folder, loop), other)
    assert float(other.rate_scale) == 0.25
    assert other.step == 3


def test_another_model_or_seed_is_refused(folder: Path) -> None:
    case, data = model_case("gan")
    with pytest.raises(CheckpointError, match="another model"):
        checkpoint.restore(folder / "step-000003", make_loop(case, data))
    case, data = model_case("ebgan")
    with pytest.raises(CheckpointError, match=r"trained with seeds \[0\], not \[4\]"):
        checkpoint.restore(folder / "step-000003", make_loop(case, data, [4]))


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    loop = a_loop(2)
    with torch.no_grad():
        next(loop.energy.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(DivergenceError, match=r"energy\..* is not finite at step 2"):
        checkpoint.save(tmp_path, loop)
    assert checkpoint_folder.listed(tmp_path) == []


def test_a_crash_while_writing_leaves_the_one_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = a_loop(5)

    def crash(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(folder, loop)
    monkeypatch.undo()
    assert [p.name for p in checkpoint_folder.listed(folder)] == ["step-000001", "step-000003"]
    left = folder / f".step-000005.{os.getpid()}"
    assert left.is_dir()
    shutil.move(left, folder / ".step-000005.1")  # as another process, now dead, would leave it
    checkpoint_folder.prune(folder, 2, set())
    assert not list(folder.glob(".step-*"))


def test_pruning_keeps_the_last_ones_and_the_best(tmp_path: Path) -> None:
    loop = a_loop(0)
    for _ in range(5):
        loop.advance()
        checkpoint.save(tmp_path, loop)
    checkpoint_folder.prune(tmp_path, 2, {1})
    assert [p.name for p in checkpoint_folder.listed(tmp_path)] == [
        "step-000001", "step-000004", "step-000005",
    ]  # fmt: skip


def test_restoring_forgets_figures_of_steps_undone(folder: Path) -> None:
    loop = a_loop(5)
    before = snapshot(loop)
    checkpoint.restore(folder / "step-000003", loop)
    assert loop.flush_figures() == []
    assert loop.step == 3
    assert any(not torch.equal(v, snapshot(loop)[k]) for k, v in before.items())


def rewritten(
    path: Path,
    change: Callable[[dict[str, Any]], object] = dict,
    tensors: Callable[[dict[str, Tensor]], object] = dict,
) -> None:
    """Alter a checkpoint, its checksums made anew."""
    found = checkpoint_folder.read(path)
    state = dict(found.state)
    tensors(state)
    meta = found.meta.model_dump()
    checkpoint_folder.write(path.parent, found.weights, state, meta)
    meta = json.loads((path / "state.json").read_text())
    change(meta)
    meta["checksum"] = checkpoint_folder._checksum(meta)
    (path / "state.json").write_text(json.dumps(meta))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.pop("format"), "has format None"),
        (lambda m: m.update(format=[1]), r"has format \[1\]"),
        (lambda m: m.pop("sha256"), "sha256 is missing"),
        (lambda m: m.update(sha256="x"), "sha256: must be an object"),
        (lambda m: m["sha256"].pop("state.safetensors"), "sha256 lacks"),
        (lambda m: m.update(sha256=dict.fromkeys(m["sha256"], 1)), r"sha256\..*must be text"),
        (lambda m: m.update(step="3"), "step: must be a whole number"),
        (lambda m: m.update(step=-3), "step: must be at least 0"),
        (lambda m: m.update(seeds=0), "seeds: .* list"),
        (lambda m: m.update(seeds=[]), "seeds: "),
        (lambda m: m.update(rate_scale=1.0), "rate_scale: .* list"),
        (lambda m: m.update(rate_scale=[float("nan")]), r"rate_scale\.0: .* finite"),
        (lambda m: m.update(rate_scale=[1.0, 1.0]), "2 rate_scale for 1 seeds"),
        (lambda m: m.update(diverged=[]), "diverged: must be an object"),
        (lambda m: m.update(diverged={"x": "why"}), "diverged"),
        (lambda m: m.update(diverged={"7": "why"}), "diverged: .* of 1 members"),
    ],
)
def test_an_altered_state_json_whose_checksum_was_made_anew_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    path = folder / "step-000003"
    rewritten(path, change)
    with pytest.raises(CheckpointError, match=rf"step-000003.*{says}"):
        checkpoint_folder.read(path)
    found, refused = checkpoint_folder.newest_good(folder)
    assert (found.name, len(refused)) == ("step-000001", 1)


def first_of(state: dict[str, Tensor], item: str) -> str:
    return next(key for key in state if key.endswith(f"/{item}"))


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        (lambda s: s.update({first_of(s, "exp_avg"): torch.zeros(3)}), "exp_avg is float32 .3,."),
        (lambda s: s.update({first_of(s, "exp_avg"): s[first_of(s, "exp_avg")].half()}), "float16"),
        (lambda s: s.update({first_of(s, "step"): torch.zeros(7)}), "step is float32"),
        (lambda s: s.pop(first_of(s, "step")), r"lacks step for \S+: "),
        (lambda s: s.update({"energy.optimiser.no.such/step": torch.tensor(1.0)}), "no parameter"),
        (lambda s: s.pop("ema.updates"), "has no ema.updates"),
        (lambda s: s.update({"ema.updates": torch.zeros(2)}), "ema.updates is float32"),
    ],
)
def test_optimiser_state_of_another_shape_is_refused(
    folder: Path, tensors: Callable[[dict[str, Tensor]], object], says: str
) -> None:
    """Torch's fused kernels would read beyond their memory, or end the process."""
    path = folder / "step-000003"
    rewritten(path, tensors=tensors)
    with pytest.raises(CheckpointError, match=rf"state\.safetensors.*{says}"):
        checkpoint.restore(path, a_loop(0))


@pytest.mark.parametrize("size", [3, 0])
def test_a_replay_buffer_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    case, data = model_case("igebm")
    loop = make_loop(case, data)
    loop.advance()
    path = checkpoint.save(tmp_path, loop)
    rewritten(path, tensors=lambda s: s.update({"sampler.state.ages": torch.zeros(size).long()}))
    with pytest.raises(CheckpointError, match=rf"state\.safetensors: .*ages is int64 \({size},\)"):
        checkpoint.restore(path, make_loop(case, data))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["weights.safetensors", "state.safetensors", "state.json"])
def test_a_pipe_in_place_of_a_file_is_refused(folder: Path, name: str) -> None:
    file = folder / "step-000003" / name
    file.unlink()
    os.mkfifo(file)
    found, refused = checkpoint_folder.newest_good(folder)
    assert found.name == "step-000001"
    assert name in refused[0]


def test_a_checkpoint_that_is_removed_while_it_is_read_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by the process that trains: it is neither refused nor the last one looked at."""
    loop, real = a_loop(4), checkpoint_folder.read_meta
    seen: list[str] = []

    def removing(path: Path) -> checkpoint_folder.Meta:
        seen.append(path.name)
        if len(seen) == 1:
            found = real(path)
            checkpoint.save(folder, loop)
            checkpoint_folder.prune(folder, 1, set())
            return found
        return real(path)

    monkeypatch.setattr(checkpoint_folder, "read_meta", removing)
    path, refused = checkpoint_folder.newest_good(folder)
    assert (path.name, refused) == ("step-000004", [])
    assert seen == ["step-000003", "step-000004"]


def test_a_full_disk_leaves_nothing_half_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint_folder, "save_file", full)
    with pytest.raises(CheckpointError, match=r"could not be written .* free some space"):
        checkpoint.save(folder, a_loop(5))
    assert sorted(p.name for p in folder.iterdir()) == ["step-000001", "step-000003"]


def test_a_checkpoint_measures_batch_statistics_once_and_those_of_its_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores that are written first use them too, and change nothing."""
    case, data = model_case("ebgan_conv")
    loop, once = make_loop(case, data, steps=2), make_loop(case, data, steps=2)
    run, counts = RunFolder(tmp_path / "run"), []
    estimate = loop.estimate_statistics
    monkeypatch.setattr(loop, "estimate_statistics", lambda: counts.append(loop.step) or estimate())
    log = Log(run, 1)
    loop.hooks = [Checkpoints(run, 1, 9, log, lambda loop: {"swd": 1.0}, "swd")]
    run.path.mkdir()
    loop.run()
    assert counts == [0, 1, 2]
    once.run()
    alone = checkpoint_folder.read(checkpoint.save(tmp_path / "alone", once))
    kept = checkpoint_folder.read(checkpoint_folder.listed(run.checkpoints)[-1])
    assert kept.weights.keys() == alone.weights.keys()
    assert all(torch.equal(kept.weights[name], alone.weights[name]) for name in alone.weights)
