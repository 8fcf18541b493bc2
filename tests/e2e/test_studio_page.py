"""The studio's page in a headless Chromium, on runs of digits; and requests that mean harm."""

import base64
import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import energan
from support.studio import ask, browser, choose_run, needs_chromium, open_panel, page, studio

if find_spec("gradio") is None:
    pytest.skip("Gradio is not installed", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api")
__all__ = ["browser", "page"]  # the fixtures
SECRET = "what no page may show"


@pytest.fixture(scope="module")
def place(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs, photographs, and what lies beside them."""
    made = tmp_path_factory.mktemp("studio")
    shutil.copytree(small_run, made / "runs" / "digits")
    shutil.copytree(small_run, made / "runs" / "other")
    shutil.copytree(small_run, made / "runs" / "broken")
    (made / "runs" / "broken" / "config.json").write_text("{")
    (made / "secret").mkdir()
    (made / "secret" / "report.html").write_text(SECRET)
    (made / "secret.txt").write_text(SECRET)
    (made / "runs" / "link").symlink_to(made / "secret")
    (made / "runs" / "other" / "report.html").symlink_to(made / "secret.txt")
    draws = np.random.default_rng(0)
    (made / "photos").mkdir()
    for i in range(4):
        Image.fromarray(draws.integers(256, size=(8, 8), dtype=np.uint8)).save(
            made / "photos" / f"{i}.png"
        )
    return made


@pytest.fixture(scope="module")
def port(place: Path) -> Iterator[int]:
    log = place / "log.txt"
    with studio(place / "runs", "--data", place / "photos", log=log) as found:
        yield found
    assert "Traceback" not in log.read_text()


# --- requests that mean harm ----------------------------------------------------------------------

PATHS = [
    "/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt", "/reports/../secret",
    "/reports/..%2fsecret", "/reports/%2e%2e%2fsecret", "/reports/%252e%252e/secret",
    "/reports/link", "/reports/other", "/reports//{place}/secret", "/reports/{place}/secret",
    "/reports/digits/../../secret", "/reports/digits%00", "/reports/", "/reports/..\\secret",
    "/reports/" + "a" * 4_000, "/file={place}/secret.txt", "/gradio_api/file={place}/secret.txt",
    "/gradio_api/file={place}/runs/../secret.txt", "/gradio_api/file=../../secret.txt",
    "/gradio_api/file=%2e%2e/%2e%2e/etc/passwd", "/gradio_api/file={place}/runs/digits/config.json",
    "/gradio_api/file={place}/runs/link/report.html", "/gradio_api/file=file:///etc/passwd",
    "/gradio_api/file=http://127.0.0.1:{port}/api/runs", "/gradio_api/file//etc/passwd",
    "/gradio_api/file=/etc/passwd%00.png", "/gradio_api/file=/proc/self/environ",
    "/gradio_api/proxy=http://127.0.0.1:{port}/", "/static/../../../../etc/passwd",
    "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/assets/..%2f..%2f..%2fetc/passwd",
    "/gradio_api/custom_component/../../x/y/z", "/svelte/..%2f..%2fetc%2fpasswd",
]  # fmt: skip
"""Of the folder's own surroundings, of Gradio's routes, of other machines."""
BODIES = [
    {"run": "../secret"}, {"run": "{place}/secret"}, {"run": "link"}, {"run": "digits\x00"},
    {"run": "digits", "count": 2**70}, {"run": ["digits"]}, {"run": "digits", "seed": -1}, None,
    {"run": "x" * 10**6},
]  # fmt: skip
"""For /api/sample."""


def test_hostile_requests_get_nothing_and_the_page_lives_on(place: Path, port: int) -> None:
    assert len(PATHS) + len(BODIES) >= 40
    for path in PATHS:
        asked = path.format(place=place, port=port)
        code, found = ask(port, asked)
        assert SECRET.encode() not in found, path
        assert b"root:" not in found, path
        assert code in (307, 400, 403, 404, 405, 422) or b"<script" in found, (code, path)
        assert code < 500, path
    for body in BODIES:
        sent = json.dumps(body).replace("{place}", str(place)).encode()
        code, found = ask(port, "/api/sample", "POST", sent, content_type="application/json")
        assert code in (404, 422), (body, found[:200])
        assert SECRET.encode() not in found
    assert ask(port, "/api/runs")[0] == 200
    assert ask(port, "/")[0] == 200


def test_the_page_takes_no_path_that_was_not_uploaded(place: Path, port: int) -> None:
    """As a client of Gradio that makes its requests itself."""
    config = json.loads(ask(port, "/config")[1])
    told = json.dumps(config)
    assert SECRET not in told
    for number, dependency in enumerate(config["dependencies"]):
        kinds = {c["id"]: c["type"] for c in config["components"]}
        if not any(kinds[i] == "file" for i in dependency["inputs"]):
            continue
        path = f"{place}/secret.txt"
        given = {
            "path": path,
            "url": f"http://127.0.0.1:{port}/",
            "meta": {"_type": "gradio.FileData"},
        }
        data = [[given] if kinds[i] == "file" else None for i in dependency["inputs"]]
        body = json.dumps({"data": data, "fn_index": number, "session_hash": "x"}).encode()
        code, found = ask(port, "/gradio_api/run/predict", "POST", body,
                          content_type="application/json")  # fmt: skip
        assert code >= 400
        assert SECRET.encode() not in found


def test_two_hundred_scores_for_eight_clients(place: Path, port: int) -> None:
    image = base64.b64encode((place / "photos" / "0.png").read_bytes()).decode()
    body = json.dumps({"run": "digits", "images": [image]}).encode()

    def post(_: int) -> tuple[int, bytes]:
        return ask(port, "/api/score", "POST", body, content_type="application/json")

    first = post(0)
    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(post, range(200)))
    assert set(found) == {first}
    assert first[0] == 200


# --- the panels -----------------------------------------------------------------------------------


@needs_chromium
def test_runs(page: Any, browser: Any, port: int) -> None:
    table = page.locator("#runs-table")
    playwright.expect(table).to_contain_text("digits")
    playwright.expect(table).to_contain_text("damaged")
    page.get_by_label("Filter").fill("broken")
    playwright.expect(table).not_to_contain_text("digits")
    page.get_by_label("Filter").fill("digits")
    playwright.expect(table).to_contain_text("ebgan-digits")
    playwright.expect(table.locator("img").filter(visible=True).first).to_be_visible()
    table.get_by_text("digits", exact=True).filter(visible=True).first.click()
    playwright.expect(page.locator(".status").first).to_contain_text("finished, step 30 of 30")
    playwright.expect(page.get_by_alt_text("step 30").filter(visible=True).first).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    playwright.expect(page.get_by_test_id("toast-body")).to_contain_text("digits is finished")
    second = browser.new_page()
    second.goto(f"http://127.0.0.1:{port}")
    playwright.expect(second.locator("#runs-table")).to_contain_text("digits")
    second.close()


@needs_chromium
@pytest.mark.parametrize("name", ["Runs", "Train", "Generate", "Judge"])
def test_narrow_and_dark(browser: Any, port: int, name: str) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme="dark", locale="en"
    )
    page, wrong = context.new_page(), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"http://127.0.0.1:{port}")
    if name == "Judge":  # for which there is no room beside the others
        page.get_by_role("button", name="More tabs").click()
        page.get_by_role("button", name=name, exact=True).filter(visible=True).click()
    else:
        page.get_by_role("tab", name=name, exact=True).click()
    playwright.expect(page.get_by_role("tabpanel").filter(visible=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", background)[:3])) < 64
    context.close()
    assert not wrong


@needs_chromium
def test_judge_and_label(page: Any, place: Path) -> None:
    panel, files = open_panel(page, "Judge"), sorted((place / "photos").iterdir())
    choose_run(panel, "digits")
    page.locator("#judge-files input[type=file]").set_input_files(files)
    playwright.expect(page.locator("#judge-files")).to_contain_text(re.compile(r"3\s*\.png"))
    panel.get_by_role("button", name="Judge", exact=True).click()
    table = page.locator("#judge-table")
    playwright.expect(table).to_contain_text("3.png")
    own = energan.load(place / "runs" / "digits")
    scores = own.score(files)
    highest = files[int(scores.energy.argmax())].name
    playwright.expect(page.locator("#judge-picture img")).to_be_visible()
    playwright.expect(panel).to_contain_text(f"{int(scores.anomalous.sum())} of 4 images anomalous")
    assert own.calibration is not None
    figure = page.locator("#judge-figure img")
    playwright.expect(figure.filter(visible=True)).to_have_count(1)  # that of a light page
    before = figure.first.get_attribute("src")
    rate = page.locator("#judge-rate input[type=number]")
    rate.fill("50")
    rate.press("Enter")
    half = own.calibration.at(0.5)
    playwright.expect(panel).to_contain_text(f"energy {half.threshold:.5g}")
    playwright.expect(figure.first).not_to_have_attribute("src", before)
    found = int(half.scores(scores.energy).anomalous.sum())
    playwright.expect(panel).to_contain_text(f"{found} of 4 images anomalous")
    panel.get_by_role("button", name="This is normal").click()
    playwright.expect(panel).to_contain_text("of 1 that you labelled normal")
    panel.get_by_label("Save images and labels as").fill("mine")
    panel.get_by_role("button", name="Save labels").click()
    playwright.expect(panel).to_contain_text(re.compile(r"labels\s*\.csv"))
    kept = place / "runs" / "mine"
    assert (kept / "labels.csv").read_text() == f"file,label\n{highest},normal\n"
    assert {path.name for path in kept.iterdir()} == {"labels.csv", *(f.name for f in files)}


@needs_chromium
def test_generate(page: Any) -> None:
    panel = open_panel(page, "Generate")
    choose_run(panel, "digits")
    page.locator("#generate-draw").click()
    shown = page.locator("#generate-gallery img")
    playwright.expect(shown.filter(visible=True).first).to_be_visible()
    assert shown.count() == 16
    panel.get_by_role("button", name="Nearest training images").click()
    playwright.expect(page.locator("#generate-near")).to_contain_text("distance")
    panel.get_by_role("button", name="Save as files").click()
    playwright.expect(panel).to_contain_text(re.compile(r"samples\s*\.npz"))
    panel.get_by_text("Between two samples").click()
    panel.get_by_role("button", name="Show", exact=True).click()
    playwright.expect(page.locator("#generate-between img")).to_be_visible()


@needs_chromium
def test_train_shows_what_is_there(page: Any, place: Path) -> None:
    panel = open_panel(page, "Train")
    box = panel.get_by_label("Images: a folder that")
    box.click()
    box.fill(str(place / "photos"))
    box.press("Enter")
    panel.get_by_label("Resize to a square").fill("8")
    panel.get_by_role("button", name="Look at the images").click()
    playwright.expect(page.locator("#train-found")).to_contain_text("for training")
    playwright.expect(page.locator("#train-found")).to_contain_text("8x8, grey")
    panel.get_by_label("Name of the run").fill("../x")
    panel.get_by_role("button", name="Start training").click()
    playwright.expect(page.get_by_test_id("toast-body")).to_contain_text("use letters")
    panel.get_by_label("Name of the run").fill("new")
    panel.get_by_role("button", name="Start training").click()
    playwright.expect(page.locator("#train-state")).to_contain_text("new: starting")
    runs = open_panel(page, "Runs").locator("#runs-table")
    playwright.expect(runs).to_contain_text("starting: reading the images")
    open_panel(page, "Train").get_by_role("button", name="Stop the training").click()
    playwright.expect(page.get_by_test_id("toast-body").last).to_contain_text("new is cancelled")
    open_panel(page, "Runs")
    playwright.expect(runs).not_to_contain_text("starting")
    assert not (place / "runs" / "new").exists()
