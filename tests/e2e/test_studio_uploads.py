"""Panels of the studio that take images, and that of sweeps, in a headless Chromium."""

import csv
import json
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import energan
from energan.io.run_folder import RunFolder
from energan.sweeps.store import SweepFolder
from support.commands import run
from support.forks import fork_processes
from support.studio import browser, choose_run, needs_chromium, open_panel, page, studio

if find_spec("gradio") is None:
    pytest.skip("Gradio is not installed", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api")
__all__ = ["browser", "page"]  # the fixtures
pytestmark = needs_chromium

BRIEF = ("--threads", "1", "--output.no-tensorboard", "--output.sample-every", "0")
LADDER = (
    "--model", "ladder", "--model.hidden", "32", "16", "--data.source", "digits", "--data.range",
    "unit", "--data.labelled", "100", "--training.ema", "0", "--steps", "30",
)  # fmt: skip
PAIRS = (
    "--model", "pix2pix", "--data.direction", "left-to-right", "--data.held-out", "2", "--steps",
    "4", "--model.generator-width", "8", "--model.discriminator", "8", "16", "--model.norm",
    "image", "--training.batch-size", "4", "--training.ema", "0",
)  # fmt: skip
TAGGER = (
    "tagging-celeba", "--steps", "5", "--model.generator", "32", "32", "--model.discriminator",
    "32", "32", "--model.joint", "16", "--model.noise", "0.25",
)  # fmt: skip
SWEEP = {
    "name": "margins", "recipe": "ebgan-digits", "metrics": ["sliced_wasserstein"],
    "base": {"model.generator": [16], "model.encoder": [16], "training.steps": 10,
             "training.batch_size": 32},
    "axes": {"model.margin": [1, 5]},
}  # fmt: skip


def make_pairs(folder: Path) -> Path:
    """Pictures of four coloured fields, each with its negative on its right."""
    folder.mkdir()
    draws = np.random.default_rng(0)
    for i in range(10):
        left = draws.integers(0, 256, (2, 2, 3)).repeat(8, 0).repeat(8, 1)
        pair = np.concatenate([left, 255 - left], 1).astype(np.uint8)
        Image.fromarray(pair).save(folder / f"{i}.png")
    return folder


def make_digits(folder: Path) -> list[Path]:
    folder.mkdir()
    digits = load_digits()
    files = [folder / f"{i}.png" for i in range(4)]
    for image, file in zip(digits.images, files, strict=False):
        Image.fromarray((image * 15.9).astype(np.uint8)).save(file)
    return files


@pytest.fixture(scope="module")
def place(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run for each panel, a sweep, and images."""
    made = tmp_path_factory.mktemp("studio")
    runs = made / "runs"
    shutil.copytree(small_run, runs / "digits")
    pairs, features = make_pairs(made / "pairs"), runs / "features.npz"
    make_digits(made / "images")
    (made / "sweep.json").write_text(json.dumps(SWEEP))
    for words in (
        ("train", *LADDER, *BRIEF, "--out", runs / "few"),
        ("train", "--data", pairs, *PAIRS, *BRIEF, "--out", runs / "negative"),
        ("features", "digits", "--with", runs / "digits", "--out", features, "--threads", "1"),
        ("train", *TAGGER, "--data", features, *BRIEF, "--out", runs / "tagger"),
    ):
        assert run(*words) == 0
    with pytest.MonkeyPatch.context() as patch:
        fork_processes(patch)
        patch.chdir(runs)
        one = ("--processes", "1", "--threads", "1", "--samples", "64")
        assert run("sweep", made / "sweep.json", *one) == 0
    return made


@pytest.fixture(scope="module")
def port(place: Path) -> Iterator[int]:
    log = place / "log.txt"
    with studio(place / "runs", log=log) as found:
        yield found
    assert "Traceback" not in log.read_text()


def give(page: Any, panel: Any, command: str, name: str, files: list[Path]) -> None:
    """Choose a run, upload images, and wait until they are there."""
    choose_run(panel, name)
    page.locator(f"#{command}-files input[type=file]").set_input_files(files)
    playwright.expect(page.locator(f"#{command}-files")).to_contain_text(files[-1].stem)


def offered(panel: Any) -> list[str]:
    """The runs that a panel's list has."""
    panel.get_by_label("Run").first.click()
    playwright.expect(panel.page.get_by_role("option").first).to_be_visible()
    found: list[str] = panel.page.get_by_role("option").all_inner_texts()
    return [name.removeprefix("✓").strip() for name in found]


def test_classify(page: Any, place: Path) -> None:
    panel, files = open_panel(page, "Classify"), sorted((place / "images").iterdir())
    assert offered(panel) == ["few"]
    torn = place / "torn.png"
    torn.write_bytes(files[0].read_bytes()[:60])
    give(page, panel, "classify", "few", [*files, torn])
    page.locator("#classify-button").click()
    table = page.locator("#classify-table")
    own = energan.load(place / "runs" / "few")
    found = own.classify(files)
    for file, label in zip(files, found.labels.tolist(), strict=True):
        row = table.get_by_role("row").filter(has_text=file.name)
        playwright.expect(row).to_contain_text(own.class_names[label])
    playwright.expect(panel).to_contain_text("skipped: torn.png")


def test_translate(page: Any, place: Path) -> None:
    panel, files = open_panel(page, "Translate"), sorted((place / "pairs").iterdir())[:2]
    assert offered(panel) == ["negative"]
    give(page, panel, "translate", "negative", files)
    page.locator("#translate-button").click()
    playwright.expect(panel).to_contain_text("2 images")
    playwright.expect(page.locator("#translate-gallery img").first).to_be_visible()
    assert page.locator("#translate-gallery img").count() == 2


def test_restore(page: Any, place: Path) -> None:
    panel, files = open_panel(page, "Restore"), sorted((place / "images").iterdir())
    give(page, panel, "restore", "digits", files)
    steps = panel.get_by_label("number input for Steps")
    steps.fill("20")
    steps.press("Enter")
    page.locator("#restore-button").click()
    playwright.expect(page.locator("#restore-picture img")).to_be_visible()
    playwright.expect(panel).to_contain_text("4 images: energy")
    told = panel.locator(".status").last.inner_text().split()
    assert float(told[3]) > float(told[5])  # the energy before, and after


def test_tag(page: Any, place: Path) -> None:
    panel, files = open_panel(page, "Tag"), sorted((place / "images").iterdir())
    assert offered(panel) == ["tagger"]
    give(page, panel, "tag", "tagger", files)
    count = panel.get_by_label("number input for Tags for each image")
    count.fill("2")
    count.press("Enter")
    page.locator("#tag-button").click()
    table = page.locator("#tag-table")
    out = place / "tags.csv"
    assert run("tag", place / "runs" / "tagger", *files, "--tags", "2", "--out", out) == 0
    with out.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    for file_name, first, second in zip(files, rows[::2], rows[1::2], strict=True):
        words = ", ".join(f"{tag} {score}" for _, _, tag, score in (first, second))
        row = table.get_by_role("row").filter(has_text=file_name.name)
        playwright.expect(row).to_contain_text(words)
    playwright.expect(panel).to_contain_text("precision at 2 on held-out images")


def test_sweeps(page: Any, place: Path) -> None:
    panel = open_panel(page, "Sweeps")
    sweep = SweepFolder(place / "runs" / "sweeps" / "margins")
    ids = sorted(path.stem for path in (sweep.path / "results").iterdir())
    playwright.expect(page.locator("#sweep-state")).to_contain_text("2 trials of the 2")
    playwright.expect(page.locator("#sweep-picture img").first).to_be_visible()
    table = page.locator("#sweep-table")
    for trial in ids:
        row = table.get_by_role("row").filter(has_text=trial)
        playwright.expect(row).to_contain_text("done")
        value = RunFolder(sweep.trials / trial).read_config()["settings"]["model"]["margin"]
        playwright.expect(row).to_contain_text(f"margin={value:g}")
    playwright.expect(panel).to_contain_text("SWD")
