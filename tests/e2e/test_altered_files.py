"""Files of a run that were altered by hand: a sentence with the file and exit code 2, or no harm.

Alterations are drawn by a seed: a value of a JSON document is taken out or replaced by one of
another type or size. Checksums and hashes are made anew, so that nothing but the reading itself
stands between the value and the code.
"""

import copy
import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import energan
from energan.cli.main import main
from energan.experiment.settings import settings_hash
from energan.training import checkpoint_folder

DEEP: Any = 1
for _ in range(150):
    DEEP = [DEEP]
VALUES: list[Any] = [
    None, True, -1, 0, 1, 3, 10**9, 10**30, -0.5, 1e308, float("nan"), float("inf"), "", "x",
    "auto", "1", [], [1], ["x"], {}, {"x": 1}, [[], []], "\0", "../../x", DEEP,
]  # fmt: skip
FILES = {
    "config.json": 60, "events.jsonl": 24, "checkpoints/step-000004/state.json": 40,
    "calibration.json": 30, "metrics.json": 20,
}  # fmt: skip
"""How many alterations of each."""
PIPED = (*FILES, "checkpoints/step-000004/weights.safetensors")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one checkpoint, calibrated and evaluated."""
    run = tmp_path_factory.mktemp("runs") / "run"
    quiet = {"log_every": 1, "sample_every": 0, "checkpoint_every": 0, "tensorboard": False}
    energan.train(
        "ebgan-digits", steps=4, out=run, engine={"threads": 1}, output=quiet, progress=False
    )
    for old in checkpoint_folder.listed(run / "checkpoints")[:-1]:
        shutil.rmtree(old)
    assert main(["score", str(run), "digits", "--calibrate", "digits", "--fpr", "0.2"]) == 0
    words = ["--metrics", "frechet_distance", "--samples", "50", "--extractor", "pixels"]
    assert main(["evaluate", str(run), *words]) == 0
    return run


def commands(name: str, run: Path) -> list[list[str]]:
    """Those that read the file."""
    sample = ["sample", str(run), "-n", "2", "--out", str(run.parent / "grid.png")]
    resume = ["resume", str(run), "--steps", "5", "--threads", "1"]
    evaluate = ["evaluate", str(run), "--metrics", "sliced_wasserstein", "--samples", "20"]
    score, runs = ["score", str(run), "digits"], ["runs", str(run.parent)]
    report = ["report", str(run), "--no-data", "--out", str(run.parent / "page.html")]
    train = ["train", str(run / "config.json"), "--dry-run"]
    return {
        "config.json": [sample, resume, runs, evaluate, score, train],
        "events.jsonl": [resume, runs, [*sample, "--checkpoint", "best"], report],
        "state.json": [sample, resume, evaluate],
        "weights.safetensors": [sample, resume, evaluate],
        "calibration.json": [score],
        "metrics.json": [evaluate, report],
    }[Path(name).name]


def places(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    parts = document.items() if isinstance(document, dict) else enumerate(document[:4])
    for key, value in parts:
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))
        else:
            yield (*at, key)


def altered(document: Any, draws: random.Random) -> tuple[Any, str]:
    """A copy with one value another one, or without it; what was done."""
    document = copy.deepcopy(document)
    *way, last = draws.choice(list(places(document)))
    holder = document
    for key in way:
        holder = holder[key]
    if draws.random() < 0.2:
        del holder[last]
        return document, f"{way} {last} taken out"
    value = draws.choice(VALUES)
    holder[last] = copy.deepcopy(value)
    return document, f"{way} {last} = {str(value)[:40]}"


def sealed(document: Any) -> Any:
    """With its checksum or hash made anew, where that can be."""
    if "checksum" in document:
        document["checksum"] = checkpoint_folder._checksum(document)
    with suppress(Exception):  # the alteration may be in what the hash is made of
        known = document["resolved"]
        about = known["data"]["fingerprint"], known["precision"]
        document["hash"] = settings_hash(document["model"], document["settings"], *about)
    return document


def alter(file: Path, draws: random.Random) -> str:
    """Alter the file; what was done."""
    if file.suffix == ".jsonl":
        lines = file.read_text().splitlines()
        number = draws.randrange(len(lines))
        document, what = altered(json.loads(lines[number]), draws)
        lines[number] = json.dumps(document)
        file.write_text("\n".join(lines) + "\n")
        return f"line {number}: {what}"
    document, what = altered(json.loads(file.read_text()), draws)
    file.write_text(json.dumps(sealed(document)))
    return what


def assert_told(words: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> int:
    """The command works, or says in one sentence why it does not."""
    capsys.readouterr()
    try:
        code = main(words)
    except Exception as error:
        raise AssertionError(f"{what}: {words[0]} ended by {type(error).__name__}") from error
    told = capsys.readouterr().err
    assert code in (0, 2, 3), (what, words[0], code, told)  # 3: it trains, and diverges
    assert "Traceback" not in told, (what, told)
    if code:
        assert told.splitlines()[-1].startswith("energan: "), (what, told)
    return code


@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", FILES)
def test_an_altered_document_is_told_in_a_sentence(
    trained: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    draws, refused = random.Random(16), 0
    for i in range(FILES[name]):
        run = Path(shutil.copytree(trained, tmp_path / str(i) / "run"))
        what = alter(run / name, draws)
        refused += assert_told(draws.choice(commands(name, run)), what, capsys) == 2
        shutil.rmtree(run.parent)
    assert refused or name == "metrics.json"  # whose entries are left out, and kept beside


@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", PIPED)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_a_pipe_or_a_folder_in_place_of_a_file_is_no_hang(
    trained: Path, tmp_path: Path, name: str, make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for i, _ in enumerate(commands(name, tmp_path)):
        run = Path(shutil.copytree(trained, tmp_path / str(i) / "run"))
        (run / name).unlink()
        make(run / name)
        words = commands(name, run)[i]
        code = assert_told(words, f"{name} is no file", capsys)
        assert code == 2 or words[0] in ("runs", "report", "evaluate"), words[0]


@pytest.mark.parametrize(
    ("name", "change", "command", "says"),
    [
        ("config.json", {"resolved": None}, "sample", r"config.json: resolved: "),
        ("calibration.json", {"threshold": "none"}, "score", "calibration.json: threshold: "),
        ("checkpoints/step-000004/state.json", {"step": "4"}, "sample", "state.json: step: "),
    ],
)
def test_the_sentence_names_the_file_and_the_field(
    trained: Path, tmp_path: Path, name: str, change: dict[str, Any], command: str, says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    document = json.loads((run / name).read_text()) | change
    (run / name).write_text(json.dumps(sealed(document)))
    words = next(w for w in commands(name, run) if w[0] == command)
    capsys.readouterr()
    assert main(words) == 2
    assert says in capsys.readouterr().err
