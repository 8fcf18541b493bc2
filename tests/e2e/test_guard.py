"""Chains that blow up where nothing overflows: the run ends as garbage, and with the guard not."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from energan.cli import main as cli
from energan.io.run_folder import RunFolder
from support.forks import run_ranks

# docs/results/guard.md: 300 times the recipe's rate, large steps, and no move is refused
WILD = [
    "train", "igebm-ring", "--steps", "240", "--model.dynamics", "langevin", "--model.hidden", "32",
    "32", "--model.steps", "8", "--model.buffer", "1000", "--model.energy-optimiser.lr", "0.3",
    "--model.step-size", "0.03", "--model.energy-l2", "0.0001", "--training.batch-size", "64",
    "--training.ema", "0", "--output.log-every", "10", "--output.checkpoint-every", "40",
    "--output.sample-every", "0", "--output.no-tensorboard", "--threads", "1",
]  # fmt: skip
GARBAGE = 500.0
"""Energies of the steps that were kept lie within ±50."""


def run(*words: object) -> int:
    return cli.main([str(w) for w in words])


def sizes(out: Path) -> list[float]:
    """The larger mean energy of each log event that was not undone."""
    events = RunFolder(out).read("step")
    return [max(abs(e["energy_real"]), abs(e["energy_fake"])) for e in events]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "saved"
    assert run(*WILD, "--on-divergence", "rollback", "--out", out) == 0
    return out


def lines(out: Path, event: str) -> list[dict[str, object]]:
    """Also those that were undone."""
    read = map(json.loads, RunFolder(out).events.read_text().splitlines())
    return [e for e in read if e["event"] == event]


def test_it_goes_back_where_a_run_without_it_goes_wild(tmp_path: Path, saved: Path) -> None:
    wild = tmp_path / "wild"
    assert run(*WILD, "--training.no-guard", "--on-divergence", "stop", "--out", wild) == 0
    assert max(sizes(wild)) > GARBAGE  # and nothing has stopped it
    folder = RunFolder(saved)
    assert "rose to" in str(lines(saved, "rollback")[0]["reason"])
    assert [e["kind"] for e in lines(saved, "health")][:1] == ["blow-up"]
    assert max(sizes(saved)) < GARBAGE
    assert folder.state() == "finished"


def test_a_resumed_run_goes_back_where_one_that_never_stopped_does(
    tmp_path: Path, saved: Path
) -> None:
    first = lines(saved, "rollback")[0]
    out = tmp_path / "cut"
    early = [*WILD, "--steps", str(first["step"])]
    assert run(*early, "--on-divergence", "rollback", "--out", out) == 0
    assert run("resume", out, "--steps", "240") == 0
    assert [e["reason"] for e in lines(out, "rollback")] == [
        e["reason"] for e in lines(saved, "rollback")
    ]
    name = "checkpoints/step-000240/weights.safetensors"
    one, two = load_file(saved / name), load_file(out / name)
    assert all(torch.equal(one[n], two[n]) for n in one)


def test_a_run_killed_after_a_rollback_goes_on_with_its_halved_rates(tmp_path: Path) -> None:
    out = tmp_path / "killed"
    assert run(*WILD, "--steps", "40", "--on-divergence", "rollback", "--out", out) == 0
    RunFolder(out).append("rollback", step=40, reason="made up", rate_scale=0.25)
    assert run("resume", out, "--steps", "50") == 0
    meta = json.loads((out / "checkpoints/step-000050/state.json").read_text())
    assert meta["rate_scale"] == [0.25]


def test_all_ranks_go_back_together(tmp_path: Path) -> None:
    """Of the first seed that goes wild: which do depends on how the machine adds numbers."""
    for seed in range(8):
        out, said = tmp_path / f"seed-{seed}", tmp_path / "said.txt"
        words = [*WILD, "--training.batch-size", "32", "--seed", str(seed), "--out", str(out)]
        words += ["--on-divergence", "rollback"]
        assert run_ranks(2, words, said) == [0, 0], said.read_text()
        assert max(sizes(out)) < GARBAGE
        if lines(out, "rollback"):
            return
    raise AssertionError("no seed went wild")


def test_with_stop_it_ends_with_3_at_a_good_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "stopped"
    assert run(*WILD, "--on-divergence", "stop", "--out", out) == 3
    said = capsys.readouterr().err
    assert "rose to" in said
    assert "is intact at step-000" in said
    assert "--on-divergence rollback" in said
    assert "Traceback" not in said
    diverged = RunFolder(out).read("diverged")[0]["step"]
    newest = max(int(p.name[5:]) for p in (out / "checkpoints").iterdir())
    assert newest < diverged
