"""`energan train RECIPE --scale`, as a user types it."""

import json
from pathlib import Path

import pytest

import energan
from energan.cli import main as cli
from energan.io.run_folder import RunFolder

WORDS = [
    "--model.hidden", "8", "--model.generator", "8", "--data", "digits", "--data.range", "unit",
    "--data.held-out", "200", "--output.checkpoint-every", "0", "--threads", "1",
]  # fmt: skip
RECIPE = "ebgan-ln-mnist-100"


def dry(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict:
    assert cli.main(["train", *map(str, words), "--dry-run"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_dry_run_shows_the_scaled_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    shown = dry(capsys, RECIPE, "--scale", "1/6", "--output.log-every", "7")
    assert shown["asked"] == {"scale": "1/6", "output": {"log_every": 7}}
    settings = shown["settings"]
    assert settings["training"]["steps"] == 30_000
    assert (settings["model"]["margin"], settings["model"]["until"]) == (
        "linear(16, 0, 10000)", 10_000,
    )  # fmt: skip
    before = dry(capsys, RECIPE)
    assert settings["output"] == {**before["settings"]["output"], "log_every": 7}


def test_other_settings_count_as_written_wherever_they_stand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = dry(capsys, RECIPE, "--steps", "900", "--scale=0.5", "--model.until", "60000")
    assert shown["settings"]["training"]["steps"] == 900
    assert shown["settings"]["model"]["until"] == 60_000  # as before the scaling, and asked for
    assert shown["settings"]["model"]["margin"] == "linear(16, 0, 30000)"


def test_help_explains_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", RECIPE, "--help-all"])
    said = " ".join(capsys.readouterr().out.split())
    assert "the pulling-away term (PT; 0: codes orthogonal" in said
    assert "--scale" in said
    assert "1/6" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scale", "half"], "scale 'half': give a number or a fraction above 0"),
        (["--scale", "0"], "above 0"),
        (["--scale", "1e6"], "training.steps: must be at most"),
        (["--scale", "1/6", "--scale", "1/2"], "--scale is given twice"),
    ],
)
def test_a_wrong_scale_is_told_in_one_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", RECIPE, *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("energan: ")
    assert said in error
    assert error.count("\n") == 1


def test_a_run_keeps_what_it_was_scaled_to_and_can_be_scaled_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert cli.main(["train", RECIPE, "--scale", "1/6000", "--out", str(out), *WORDS]) == 0
    capsys.readouterr()
    config = RunFolder(out).read_config()
    assert config["asked"]["scale"] == "1/6000"
    assert config["settings"]["training"]["steps"] == 30
    assert config["settings"]["model"]["margin"] == "linear(16, 0, 10)"
    shown = dry(capsys, out / "config.json", "--scale", "2")
    assert shown["settings"]["training"]["steps"] == 60
    assert shown["settings"]["model"]["until"] == 20


def test_the_python_call_takes_it_too(tmp_path: Path) -> None:
    run = energan.train(
        "ebgan-digits",
        scale="1/1200",
        out=tmp_path / "run",
        model={"generator": [8], "encoder": [8]},
        engine={"threads": 1},
        progress=False,
    )
    config = RunFolder(run.path).read_config()
    assert config["settings"]["training"]["steps"] == 10
    assert config["asked"]["scale"] == "1/1200"
