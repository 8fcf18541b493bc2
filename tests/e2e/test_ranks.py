"""Processes that torchrun starts, as a user starts them."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from energan.io.run_folder import RunFolder
from support.forks import run_ranks
from support.image_files import encoded, noise

EXACT = ("--precision", "64", "--output.sample-every", "0", "--output.no-tensorboard")
SMALL = (
    "--model.generator", "16", "16", "--model.encoder", "16", "--model.latent", "8",
    "--model.pull-away", "0.1",
)  # fmt: skip
TIMEOUT = 120


def torchrun(*words: object) -> list[str]:
    """The command for two ranks, by a free port of its own: tests run side by side."""
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
            "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0",
            "-m", "energan", *map(str, words)]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Runs `energan WORDS` on so many ranks; what they say. The ranks are forks, to which this
    process says what torchrun would."""

    def run(ranks: int, *words: object, code: int = 0) -> str:
        said = tmp_path / "said.txt"
        said.unlink(missing_ok=True)
        codes = run_ranks(ranks, list(map(str, words)), said, TIMEOUT)
        assert codes == [code] * ranks, said.read_text()
        return said.read_text()

    return run


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step:06d}" / "weights.safetensors")


def assert_close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-9, atol=1e-11, msg=name)


def test_two_ranks_of_b_are_one_of_2b_and_either_may_resume_the_other(
    run: Callable[..., str], tmp_path: Path
) -> None:
    common = ("ebgan-digits", *SMALL, *EXACT, "--model.no-norm", "--model.dropout", 0.3,
              "--steps", 12, "--output.checkpoint-every", 6)  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    run(1, "train", *common, "--training.batch-size", 16, "--out", one)
    said = run(2, "train", *common, "--training.batch-size", 8, "--out", two)
    assert said.count("samples:") == 1  # one of them speaks
    assert_close(weights(one, 12), weights(two, 12))
    figures = [[e["loss_sampler"] for e in RunFolder(p).read("step")] for p in (one, two)]
    assert figures[0] == pytest.approx(figures[1], rel=1e-5)  # events have six digits
    assert len(RunFolder(two).read("start")) == 1  # and one writes
    assert json.loads((two / "config.json").read_text())["resolved"]["ranks"] == 2
    run(2, "resume", one, "--steps", 20)
    run(1, "resume", two, "--steps", 20)
    assert_close(weights(one, 20), weights(two, 20))


def test_resumed_with_the_same_ranks_equals_uninterrupted(
    run: Callable[..., str], tmp_path: Path
) -> None:
    common = ("ebgan-digits", *SMALL, *EXACT, "--output.checkpoint-every", 5)
    run(2, "train", *common, "--steps", 10, "--out", tmp_path / "whole")
    run(2, "train", *common, "--steps", 5, "--out", tmp_path / "parts")
    run(2, "resume", tmp_path / "parts", "--steps", 10)
    whole, parts = weights(tmp_path / "whole", 10), weights(tmp_path / "parts", 10)
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_noise_in_every_layer_and_maps_computed_again_on_two_ranks(
    run: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, pixels in enumerate(noise(12, 16, 16)):
        (folder / f"{number}.png").write_bytes(encoded(pixels))
    common = (
        "ebgan-imagenet-128", "--data", folder, "--data.size", 16, "--data.held-out", 4, *EXACT,
        "--model.generator-width", 2, "--model.encoder", 2, 4, "--training.batch-size", 2,
    )  # fmt: skip
    out = tmp_path / "run"
    run(2, "train", *common, "--model.checkpointing", "--steps", 3, "--out", out)
    (last,) = [e for e in RunFolder(out).read("step") if e["step"] == 3]
    assert all(math.isfinite(last[k]) for k in ("loss_energy", "loss_sampler", "pull_away"))
    assert all(v.isfinite().all() for v in weights(out, 3).values())


def test_a_batch_that_the_ranks_cannot_share_is_refused(
    run: Callable[..., str], tmp_path: Path
) -> None:
    common = ("ebgan-digits", *SMALL, *EXACT, "--steps", 2, "--training.batch-size", 5)
    run(1, "train", *common, "--out", tmp_path / "a")
    said = run(2, "resume", tmp_path / "a", "--steps", 4, code=2)
    assert said.count("cannot share them evenly") == 1


def test_a_users_error_is_said_once_and_ends_all(run: Callable[..., str], tmp_path: Path) -> None:
    said = run(2, "train", "ebgan-digits", "--data", tmp_path / "nothing", code=2)
    assert said.count("nothing does not exist") == 1


def test_a_divergence_goes_back_on_all_ranks(run: Callable[..., str], tmp_path: Path) -> None:
    said = run(
        2, "train", "ebgan-digits", *SMALL, *EXACT, "--steps", 40, "--out", tmp_path / "d",
        "--model.energy-optimiser.kind", "sgd", "--model.energy-optimiser.lr", "1e300",
        "--on-divergence", "rollback", "--training.rollbacks", 2, code=3,
    )  # fmt: skip
    assert said.count("rolled back 2 times without success") == 1
    assert len(RunFolder(tmp_path / "d").read("rollback")) == 2


def test_sigterm_to_one_rank_stops_both_after_a_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "s"
    words = ("train", "ebgan-digits", *SMALL, *EXACT, "--output.log-every", 5, "--steps", 10**6,
             "--out", out)  # fmt: skip
    with subprocess.Popen(torchrun(*words), stderr=subprocess.PIPE, text=True) as process:
        begun = time.monotonic()
        while not RunFolder(out).read("step"):
            assert time.monotonic() - begun < TIMEOUT
            time.sleep(0.1)
        ranks = [p for p in children(process.pid) if "LOCAL_RANK=1" in environment(p)]
        assert len(ranks) == 1
        os.kill(ranks[0], signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
    stopped = RunFolder(out).read("stopped")
    assert len(stopped) == 1
    assert stopped[0]["reason"] == "SIGTERM"
    assert (out / "checkpoints" / f"step-{stopped[0]['step']:06d}").is_dir()


def children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in found]


def environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")
