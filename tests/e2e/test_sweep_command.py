"""`energan sweep` as a user types it: a small grid, done where it is missing."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from energan.cli import main as cli
from energan.version import __version__
from support.forks import start

SMALL = {
    "name": "small",
    "recipe": "ebgan-digits",
    "metrics": ["sliced_wasserstein"],
    "base": {
        "model.generator": [16],
        "model.encoder": [16],
        "training.steps": 10,
        "training.batch_size": 32,
    },
    "axes": {"model.margin": [1, 5], "model.pull_away": [0, 0.1]},
}
WORDS = ["--processes", "1", "--threads", "1", "--samples", "64"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: None) -> Path:
    monkeypatch.chdir(tmp_path)
    define()
    return tmp_path


def define(**changes: Any) -> None:
    Path("small.json").write_text(json.dumps(SMALL | changes), encoding="utf8")


def results(folder: Path) -> dict[str, tuple[float, dict[str, Any]]]:
    """When each record was written, and what it says."""
    return {
        path.stem: (path.stat().st_mtime, json.loads(path.read_text(encoding="utf8")))
        for path in (folder / "results").glob("*.json")
    }


@pytest.mark.slow
def test_only_what_is_missing_is_done(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", "small.json", "--dry-run", *WORDS]) == 0
    assert str(Path("sweeps/small")) in capsys.readouterr().out
    assert [path.name for path in here.iterdir()] == ["small.json"]

    assert cli.main(["sweep", "small.json", "--sample", "2", *WORDS]) == 0
    said = capsys.readouterr()
    folder = here / "sweeps" / "small"
    first = results(folder)
    assert [r["state"] for _, r in first.values()] == ["done"] * 2
    assert "trials: 2 done, of 2" in said.out
    best = min((r["scores"]["sliced_wasserstein"]["value"], id) for id, (_, r) in first.items())
    assert re.search(rf"best: +SWD {best[0]:.4g} .*sweeps/small/trials/{best[1]}", said.out)
    assert "2/2  small  " in said.err  # a line for each that ends
    page = here / re.search(r"page: +(.*)", said.out)[1]  # type: ignore[index]
    assert page.is_file()

    assert cli.main(["sweep", "small.json", "--sample", "2", *WORDS]) == 0
    assert "2 trials, all done" in capsys.readouterr().err
    assert results(folder) == first

    assert cli.main(["sweep", "small.json", *WORDS]) == 0
    assert "trials: 4 done, of 4" in capsys.readouterr().out
    assert {id: both for id, both in results(folder).items() if id in first} == first
    definition = json.loads((folder / "sweep.json").read_text(encoding="utf8"))
    assert set(definition["trials"]) == set(results(folder))
    assert definition["trials"][:2] == list(dict.fromkeys(definition["trials"][:2]))
    assert set(definition["trials"][:2]) == set(first)
    assert (definition["count"], definition["axes"]) == (4, SMALL["axes"])

    define(axes={**SMALL["axes"], "model.margin": [1, 5, 7]})  # type: ignore[dict-item]
    assert cli.main(["sweep", "small.json", "--dry-run", *WORDS]) == 0  # an axis may grow
    capsys.readouterr()
    assert cli.main(["runs", "sweeps"]) == 0
    assert re.search(
        r"sweeps/small +4 of 4 +ebgan-digits +4 +0 +0 +0 +SWD", capsys.readouterr().out
    )
    assert cli.main(["runs", "sweeps/small"]) == 0
    listed = capsys.readouterr().out
    ranked = sorted(
        (r["scores"]["sliced_wasserstein"]["value"], id) for id, (_, r) in results(folder).items()
    )
    assert re.findall(r"^[0-9a-f]{16}(?= +done)", listed, re.M)[0] in [
        id for score, id in ranked if score == ranked[0][0]
    ]
    page.unlink()
    assert cli.main(["report", "sweeps/small"]) == 0
    assert page.is_file()
    assert cli.main(["report", "sweeps/small", "elsewhere"]) == 2
    assert "and elsewhere is not: name only sweeps, or only runs" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_folder_of_version_0_1_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With one of its trials done, another one killed, and what claims there were."""
    folder = here / "sweeps" / "small"
    shutil.copytree(Path(__file__).parents[1] / "support" / "old_sweep", folder)
    definition = (folder / "sweep.json").read_bytes()
    first = results(folder)
    assert cli.main(["runs", "sweeps/small"]) == 0
    assert "SWD 0.3258" in capsys.readouterr().out
    assert cli.main(["sweep", "small.json", "--sample", "2", *WORDS]) == 0
    assert "trials: 2 done, of 2" in capsys.readouterr().out
    assert (folder / "sweep.json").read_bytes() == definition.replace(
        b'"energan": "0.1.0"', f'"energan": "{__version__}"'.encode()
    )
    assert set(results(folder)) == set(json.loads(definition)["trials"])
    assert {id: both for id, both in results(folder).items() if id in first} == first
    ((_, record),) = (both for id, both in results(folder).items() if id not in first)
    assert record.keys() == next(iter(first.values()))[1].keys()


@pytest.mark.slow
def test_shards_and_a_run_without_one_make_a_whole(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = here / "sweeps" / "small"
    words = ["sweep", "small.json", *WORDS, "--together", "apart"]
    assert cli.main([*words, "--shard", "2/3"]) == 0
    said = capsys.readouterr()
    assert "trials: 1 done, of 1" in said.out
    assert "shard 2/3" in said.out
    assert not (folder / "report.html").exists()
    first = results(folder)
    assert cli.main([*words, "--shard", "2/3"]) == 0
    assert cli.main([*words, "--shard", "1/3"]) == 0
    assert "trials: 2 done, of 2" in capsys.readouterr().out
    assert len(results(folder)) == 3
    assert len(json.loads((folder / "sweep.json").read_text())["trials"]) == 4
    assert cli.main(words) == 0
    assert "trials: 4 done, of 4" in capsys.readouterr().out
    assert (folder / "report.html").exists()
    assert {id: both for id, both in results(folder).items() if id in first} == first


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_what_fails_or_diverges_is_recorded_and_can_be_tried_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    define(
        axes={
            "model.margin": [1],
            "training.batch_size": [32, 1],
            "model.energy_optimiser.lr": [0.001, 1e30],
        },
        base={k: v for k, v in SMALL["base"].items() if k != "training.batch_size"},  # type: ignore[attr-defined]
    )
    assert cli.main(["sweep", "small.json", *WORDS, "--together", "apart"]) == 0
    said = capsys.readouterr()
    first = results(here / "sweeps" / "small")
    states = sorted(r["state"] for _, r in first.values())
    assert states == ["diverged", "done", "failed", "failed"]
    assert "trials: 1 done, 1 diverged, 2 failed, of 4" in said.out
    assert re.search(r"failed: .*batch_size=1 .*and 1 more: .*at least 2", said.out)
    assert re.search(r"diverged: .*lr=1e\+30: .*not finite", said.out)
    assert "--together apart --retry-failed" in said.out

    assert cli.main(["sweep", "small.json", *WORDS, "--retry-failed", "--dry-run"]) == 0
    assert results(here / "sweeps" / "small") == first
    assert cli.main(["sweep", "small.json", *WORDS, "--retry-failed"]) == 0
    again = results(here / "sweeps" / "small")
    for id, (when, record) in again.items():
        assert record["attempts"] == (1 if record["state"] == "done" else 2)
        assert (when == first[id][0]) == (record["state"] == "done")
        assert record["state"] == first[id][1]["state"]


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_sweep_whose_trials_all_diverge_says_so_by_its_exit_code(here: Path) -> None:
    define(axes={"model.energy_optimiser.lr": [1e30]})
    assert cli.main(["sweep", "small.json", *WORDS]) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_data_of_the_users_own_and_fewer_steps(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What holds for all trials: the folder remembers it, and keeps other trials out."""
    words = ["sweep", "small.json", *WORDS, "--sample", "1"]
    asked = [*words, "--steps", "5", "--training.ema", "0.5", "--seed", "3"]
    assert cli.main(asked) == 0
    folder = here / "sweeps" / "small"
    (trial,) = (folder / "trials").iterdir()
    config = json.loads((trial / "config.json").read_text(encoding="utf8"))
    settings = config["settings"]
    assert (settings["training"]["steps"], settings["training"]["ema"]) == (5, 0.5)
    assert settings["seed"] == 3
    capsys.readouterr()
    assert cli.main([*words, "--steps", "5"]) == 2
    error = capsys.readouterr().err
    assert "trials of small with other settings" in error
    assert "energan sweep small.json --steps 5 --seed 3 --training.ema 0.5" in error
    assert cli.main([*words, "--scale", "1/2", "--seed", "3", "--training.ema", "0.5"]) == 0
    assert len(results(folder)) == 1
    assert cli.main([*asked, "--samples", "65"]) == 2
    assert "scored by sliced_wasserstein of 64 samples" in capsys.readouterr().err
    define(name="other")
    assert cli.main([*words, "--out", str(folder)]) == 2
    assert "holds the sweep small, not other" in capsys.readouterr().err
    assert cli.main([*words, "--out", str(trial)]) == 2
    assert "holds a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ebgan-gird"], "ebgan-grid"),
        (["nowhere.json"], "nowhere.json"),
        (["small.json", "--sample", "0"], "--sample 0: give at least 1"),
        (["small.json", "--sample", "5"], "small has only 4 trials: give a sample smaller than 5"),
        (["small.json", "--steps", "0"], "--steps 0: give at least 1 step"),
        (["small.json", "--steps", "5", "--scale", "1/2"], "give one of them"),
        (["small.json", "--scale", "0"], "above 0"),
        (["small.json", "--processes", "0"], "--processes 0: give at least 1"),
        (["small.json", "--threads", "0"], "--threads 0: give at least 1"),
        (["small.json", "--samples", "1"], "--samples 1: give at least 2"),
        (["small.json", "--shard", "3/2"], "--shard 3/2: give K/N, for example 1/4 to 4/4"),
        (["small.json", "--shard", "0/2"], "--shard 0/2: give K/N, for example 1/4 to 4/4"),
        (["small.json", "--shard", "one"], "--shard one: give K/N, for example 1/4 to 4/4"),
        (["small.json", "--gpus", "1"], "add --ray ADDRESS"),
        (["small.json", "--metrics", "beauty"], "beauty"),
        (["small.json", "--metrics", "variance_ratio"], "variance_ratio cannot rank trials"),
        (["small.json", "--model.margin", "3"], "--model.margin: the sweep small sets this"),
        (["small.json", "--model.pull-away=3"], "--model.pull-away: the sweep small sets this"),
        (["small.json", "--data", "nowhere"], "nowhere"),
        (["ladder-grid", "--model.energy_optimiser.lr", "3"], "the sweep ladder-grid sets this"),
        (["--sample", "3", "small.json"], "the sweep comes first"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    words: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (here / "sweeps").exists()


def test_named_sweeps_are_listed_without_torch() -> None:
    code = (
        "import sys; from energan.cli import main as cli; assert cli.main(['sweep']) == 0; "
        "assert cli.main(['sweep', '--help']) == 0; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"ebgan-grid +512 ", done.stdout)
    assert re.search(r"gan-grid +6,144 ", done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.usefixtures("undrawn")
def test_a_signal_ends_it_with_the_words_to_go_on(here: Path) -> None:
    define(axes={"model.margin": [1, 5, 6]}, base={**SMALL["base"], "training.steps": 500})  # type: ignore[dict-item]
    command = ["sweep", "small.json", *WORDS, "--together", "apart"]
    process = start(command, here / "said.txt", here / "errors.txt")
    folder = here / "sweeps" / "small"
    while process.poll() is None and not results(folder):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(200) == 128 + signal.SIGTERM, (here / "errors.txt").read_text()
    said = (here / "said.txt").read_text()
    first = results(folder)
    assert 1 <= len(first) < 3
    assert f"{3 - len(first)} missing" in said
    words = re.search(r"stopped; continue with: energan (sweep small\.json .*)", said)
    assert words is not None
    assert cli.main(words[1].split()) == 0
    after = results(folder)
    assert len(after) == 3
    assert {id: after[id] for id in first} == first
