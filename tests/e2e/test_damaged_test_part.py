"""A damaged test part is told in a sentence; scores are never silently made of another part."""

import shutil
from pathlib import Path

import pytest

from e2e.test_commands import refused, run
from support.split_sources import FORMS, SIDE, tear

SMALL = ["--steps", "4", "--threads", "1", "--output.no-tensorboard"]
IMAGES = [
    "ebgan-digits", "--data.size", SIDE, "--model.generator", "16", "--model.encoder", "16",
    "--model.latent", "4",
]  # fmt: skip
PAIRS = [
    "--model", "pix2pix", "--data.direction", "left-to-right", "--model.generator-width", "16",
    "--model.discriminator", "8", "16", "--training.batch-size", "4",
]  # fmt: skip


@pytest.fixture(params=FORMS)
def trained(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path, Path]:
    """A run, its data, and where its test images are."""
    data = tmp_path / "data"
    data.mkdir()
    test = FORMS[request.param](data)
    words = PAIRS if request.param == "pairs" else IMAGES
    assert run("train", *words, "--data", data, "--out", tmp_path / "run", *SMALL) == 0
    return tmp_path / "run", data, test


def test_scores_are_made_of_the_test_part_or_refused(
    trained: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out, data, test = trained
    pairs = (data / "test" / "00.png").exists() and "pix2pix" in (out / "config.json").read_text()
    scored = ["evaluate", out, "--samples", "12", *([] if pairs else ["--extractor", "pixels"])]
    assert run(*scored) == 0
    tear(test)
    assert _says_what_is_torn(refused(capsys, *scored))
    assert _says_what_is_torn(refused(capsys, "evaluate", out, "--reference", data, *scored[2:]))
    if not pairs:
        assert _says_what_is_torn(refused(capsys, "score", out, data, "--out", out / "s.csv"))
        assert not (out / "s.csv").exists()
    shutil.rmtree(test) if test.is_dir() else test.unlink()
    assert run(*scored) == 0
    assert '"held-out"' in (out / "metrics.json").read_text(encoding="utf8")


def _says_what_is_torn(said: str) -> bool:
    reasons = ("is damaged", "cannot be read", "no readable image", "no pair")
    return any(reason in said for reason in reasons)
