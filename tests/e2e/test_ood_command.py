"""`energan evaluate --ood` as a user types it."""

import json
from pathlib import Path

import pytest
from PIL import Image

from support.commands import refused, run

WORDS = ["--samples", "50", "--threads", "1"]


def test_a_table_a_file_and_a_picture(
    own_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = tmp_path / "new" / "energies.png", tmp_path / "all.json"
    more = ["--ood-picture", str(picture), "--out", str(out)]
    capsys.readouterr()
    assert run("evaluate", own_run, "--ood", "all", *more, *WORDS) == 0
    said = capsys.readouterr().out
    stored = json.loads((own_run / "metrics.json").read_text())
    assert stored["evaluations"] == []
    [entry] = stored["out_of_distribution"]
    assert len(entry["sets"]) == 8
    for row in entry["sets"]:
        assert f"{row['auroc']:.4f} [{row['low']:.4f}, {row['high']:.4f}]" in said
        assert row.get("note", "") in said
    with Image.open(picture) as image:
        assert image.width > 300
    [told] = json.loads(out.read_text())["runs"]
    assert told["out_of_distribution"] == entry
    # metrics join it, and metrics alone leave it
    assert run("evaluate", own_run, "--ood", "noise", "--metrics", "swd", *WORDS) == 0
    stored = json.loads((own_run / "metrics.json").read_text())
    assert stored["out_of_distribution"] == [entry]
    assert [m["name"] for m in stored["evaluations"][0]["metrics"]] == ["sliced_wasserstein"]


def test_seeds_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [tmp_path / name for name in "ab"]
    for seed, path in enumerate(runs):
        words = ["--steps", "5", "--seed", str(seed), "--out", str(path), "--threads", "1"]
        assert run("train", "gan-ring", *words) == 0
    capsys.readouterr()
    assert run("evaluate", *runs, "--ood", "noise", *WORDS) == 0
    assert "auroc_noise" in capsys.readouterr().out.split("seeds 0, 1 together")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ood", "nois"], "--ood nois: there is no such data set; did you mean noise"),
        (["--ood-picture", "a.png"], "name other data, for example --ood all"),
        (["--ood", "noise", "--ood-picture", "a.jpg"], "--ood-picture a.jpg: name a .png file"),
        (["--ood", "noise", "--reference", "digits"], "--reference applies to metrics"),
        (["--ood", "noise", "--metrics", "nonsense"], "there is no such metric"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: list[str], said: str, own_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, "evaluate", own_run, *words)
