"""`energan evaluate`, `energan compare` and `--keep-best` as a user types them."""

import json
from pathlib import Path

import pytest
from PIL import Image

import energan
from energan.io.run_folder import RunFolder
from support.commands import SMALL, refused, run
from support.helpers import weight_files

QUICK = ["--samples", "200", "--resamples", "20", "--threads", "1"]


@pytest.fixture(autouse=True)
def _cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(shared_cache))


@pytest.fixture(scope="module")
def digits(own_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ in the seed alone, and one of another margin."""
    root = tmp_path_factory.mktemp("runs")
    for name, words in (("b", ["--seed", "1"]), ("c", ["--model.margin", "1"])):
        words = ["--steps", "30", "--out", str(root / name), *SMALL, *words]
        assert run("train", "ebgan-digits", *words) == 0
    return [own_run, root / "b", root / "c"]


def scores(path: Path) -> dict[str, dict[str, object]]:
    stored = json.loads((path / "metrics.json").read_text())
    return {m["name"]: m for entry in stored["evaluations"] for m in entry["metrics"]}


def test_all_that_applies_with_its_protocol(
    digits: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", digits[0], "--notes", *QUICK) == 0
    said = capsys.readouterr()
    assert "inception_score" in said.out
    assert "k = 5, 180 of each kind" in said.out
    assert "left out: modes: digits is not a mixture with known modes" in said.err
    stored = json.loads((digits[0] / "metrics.json").read_text())
    [entry] = stored["evaluations"]
    assert (entry["step"], entry["weights"], entry["samples"], entry["seed"]) == (30, "ema", 200, 0)
    assert entry["extractor"]["name"] == "classifier"
    assert len(entry["extractor"]["sha256"]) == 64
    assert entry["extractor"]["test_accuracy"] > 0.9
    assert entry["reference"]["split"] == "held-out"
    assert entry["images"] == "[-1, 1] scaled to [0, 1]"
    names = [m["name"] for m in entry["metrics"]]
    assert len(names) == len(set(names))
    assert {"inception_score", "frechet_distance", "recall", "parzen", "memorisation"} <= set(names)
    for metric in entry["metrics"]:
        if metric["low"] is not None:
            assert metric["low"] <= metric["value"] <= metric["high"], metric["name"]
    assert "modes" not in names


def test_the_same_evaluation_gives_the_same_file(digits: list[Path]) -> None:
    assert run("evaluate", digits[0], *QUICK) == 0
    first = (digits[0] / "metrics.json").read_bytes()
    assert run("evaluate", digits[0], *QUICK) == 0
    assert (digits[0] / "metrics.json").read_bytes() == first
    # a part of it again replaces that part by itself
    assert run("evaluate", digits[0], "--metrics", "fid", *QUICK) == 0
    assert (digits[0] / "metrics.json").read_bytes() == first


def test_the_table_is_short_and_its_first_row_decides(
    digits: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", digits[0], "--metrics", "is", "fid", *QUICK) == 0
    said = capsys.readouterr()
    rows = [line.split()[0] for line in said.out.splitlines() if line]
    place = rows.index("metric")
    assert rows[place + 1 : place + 3] == ["frechet_distance", "inception_score"]
    assert "biased by" not in said.out  # as --notes says
    assert "--notes" in said.out
    assert "left out" not in said.err


def test_another_protocol_is_another_entry(digits: list[Path]) -> None:
    assert run("evaluate", digits[2], "--metrics", "swd", *QUICK) == 0
    assert run("evaluate", digits[2], "--metrics", "swd", "--weights", "raw", *QUICK) == 0
    assert run("evaluate", digits[2], "--metrics", "swd", "--seed", "1", *QUICK) == 0
    stored = json.loads((digits[2] / "metrics.json").read_text())
    told = [(e["weights"], e["seed"]) for e in stored["evaluations"]]
    assert sorted(told) == [("ema", 0), ("ema", 1), ("raw", 0)]


def test_a_file_of_format_1_is_read_and_added_to(
    digits: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its intervals are of other draws, and nothing else is."""
    file = digits[1] / "metrics.json"
    words = ["--metrics", "swd", "--samples", "200", "--threads", "1"]
    assert run("evaluate", digits[1], *words) == 0
    old = json.loads(file.read_text()) | {"format": 1}
    file.write_text(json.dumps(old))
    assert run("report", digits[1], "--out", tmp_path / "page.html") == 0
    assert "Sliced Wasserstein distance" in (tmp_path / "page.html").read_text()
    capsys.readouterr()
    assert run("compare", digits[1], digits[2], "--out", tmp_path / "c.png", *words) == 0
    assert f"{old['evaluations'][0]['metrics'][0]['value']:.4g}" in capsys.readouterr().out
    assert run("evaluate", digits[1], *words, "--seed", "1") == 0
    new = json.loads(file.read_text())
    assert new["format"] == 2
    assert new["evaluations"][0] == old["evaluations"][0]
    assert len(new["evaluations"]) == 2


def test_real_data_scores_what_it_says(digits: list[Path]) -> None:
    """The figure that stands beside an inception score is that of the real images."""
    assert run("evaluate", digits[0], "--metrics", "is", "recall", *QUICK) == 0
    found = scores(digits[0])
    assert 9 < float(str(found["inception_score"]["real"])) <= 10
    assert float(str(found["precision"]["real"])) > 0.5


def test_seeds_are_scored_together(
    digits: list[Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--metrics", "swd,is", "--out", str(tmp_path / "all.json"), *QUICK]
    assert run("evaluate", *digits, *words) == 0
    assert "seeds 0, 1 together" in capsys.readouterr().out
    stored = json.loads((tmp_path / "all.json").read_text())
    assert len(stored["runs"]) == 3
    [group] = stored["over_seeds"]
    together = {g["name"]: g for g in group}
    values = together["sliced_wasserstein"]["values"]
    assert together["sliced_wasserstein"]["mean"] == pytest.approx(sum(values) / 2, rel=1e-4)
    low, high = (together["sliced_wasserstein"][end] for end in ("low", "high"))
    assert low < min(values) < max(values) < high  # t with one degree of freedom is wide


def test_parzen_stands_beside_what_was_published(
    digits: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", digits[1], "--metrics", "parzen", *QUICK) == 0
    details = scores(digits[1])["parzen"]["details"]
    assert isinstance(details, dict)
    assert details["numbers"] == 64
    assert len(details["validation"]) == 10
    assert float(f"{details['sigma']:.4g}") == max(
        (float(s) for s in details["validation"]), key=lambda s: details["validation"][f"{s:.4g}"]
    )
    assert "does poorly in high dimension" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics", "nonsense"], "--metrics nonsense: there is no such metric"),
        (["--metrics", "modes"], "--metrics modes does not apply: digits is not a mixture"),
        (["--samples", "1"], "--samples 1: give at least 2"),
        (["--reference", "ring"], "ring holds points, not images"),
        (["--reference", "/no/such"], "/no/such"),
        (["--extractor", "absent.safetensors"], "absent.safetensors"),
        (["--metrics", "is", "--extractor", "pixels"], "pixels have none"),
        (["--checkpoint", "7"], "has no checkpoint of step 7"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: list[str], said: str, digits: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run("evaluate", digits[2], *words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("energan: ")
    assert said in error


def test_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no run" in refused(capsys, "evaluate", tmp_path)


def test_points_are_scored_by_modes_and_density(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--steps", "20", "--out", str(tmp_path / "ring"), "--threads", "1"]
    assert run("train", "ebgan-ring", *words) == 0
    assert run("evaluate", tmp_path / "ring", *QUICK) == 0
    found = scores(tmp_path / "ring")
    assert {"modes", "energy_log_likelihood", "sliced_wasserstein", "frechet_distance"} <= set(
        found
    )
    assert "inception_score" not in found
    assert found["modes"]["real"] == 8


def test_compare(digits: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "side.png"
    words = ["--metrics", "swd", "is", "--samples", "200", "--out", str(picture), "--threads", "1"]
    assert run("compare", *digits[:2], *words) == 0
    out = capsys.readouterr().out
    assert "sliced_wasserstein" in out
    assert " *" in out  # the better one
    assert "* best, if its interval" in out
    with Image.open(picture) as image:
        assert image.width > image.height / 2
    before = (digits[0] / "metrics.json").read_bytes()
    assert run("compare", *digits[:2], *words) == 0  # nothing is made twice
    assert (digits[0] / "metrics.json").read_bytes() == before
    capsys.readouterr()
    assert run("compare", digits[0], digits[0], *words) == 0
    assert "*" not in capsys.readouterr().out  # equal scores: none is better


def test_compare_needs_two(digits: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert "at least two runs" in refused(capsys, "compare", digits[0])


def test_the_best_by_another_metric_is_kept(tmp_path: Path) -> None:
    words = ["--keep-best", "recall", "--output.keep", "1", "--out", str(tmp_path / "run")]
    assert run("train", "ebgan-digits", "--steps", "50", *SMALL, *words) == 0
    made = {e["step"]: e["recall"] for e in RunFolder(tmp_path / "run").read("score")}
    assert sorted(made) == [0, 10, 20, 30, 40, 50]
    best = min(made, key=lambda step: (-made[step], step))
    there = sorted(int(p.name[-6:]) for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert best in there
    assert energan.load(tmp_path / "run", checkpoint="best").step in {
        step for step in there if made[step] == max(made[s] for s in there)
    }


def test_judging_on_the_way_changes_nothing_in_training(tmp_path: Path) -> None:
    for name, words in (("plain", []), ("judged", ["--keep-best", "inception_score"])):
        words = [*SMALL, "--out", str(tmp_path / name), *words]
        assert run("train", "ebgan-digits", "--steps", "20", *words) == 0
    assert weight_files(tmp_path / "plain", 20) == weight_files(tmp_path / "judged", 20)
    configs = [RunFolder(tmp_path / name).read_config()["hash"] for name in ("plain", "judged")]
    assert configs[0] == configs[1]  # what is kept is no part of the result


def test_a_best_that_cannot_be_judged_stops_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--keep-best", "inception_score", "--out", str(tmp_path / "x"), "--threads", "1"]
    said = refused(capsys, "train", "ebgan-ring", "--steps", "5", *words)
    assert "--keep-best inception_score does not apply" in said
    assert not (tmp_path / "x").exists()
