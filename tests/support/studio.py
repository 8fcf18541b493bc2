"""A studio as a process of its own, plain requests to it, and its page in a headless Chromium."""

import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page in")


@contextmanager
def studio(folder: Path, *words: str | Path, log: Path) -> Iterator[int]:
    """`energan studio FOLDER` on a free port, which is given."""
    command = [sys.executable, "-m", "energan", "studio", str(folder), "--port", "0"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, *map(str, words)], stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "http://" in line, f"{line}{log.read_text()}"
        yield int(line.partition("http://")[2].partition("/")[0].rpartition(":")[2])
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def ask(
    port: int, path: str, method: str = "GET", body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    """The path as it is written, which clients would tidy up."""
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        asked.request(
            method, path, body or None, {n.replace("_", "-"): v for n, v in headers.items()}
        )
        answer = asked.getresponse()
        return answer.status, answer.read()
    finally:
        asked.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    sync_api.expect.set_options(timeout=60_000)
    with sync_api.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(port: int, browser: Any) -> Iterator[Any]:
    """A page that fails the test for what it complains of, or asks of another machine."""
    own = f"http://127.0.0.1:{port}"
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    page, wrong = context.new_page(), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: wrong.append(asked.url)
            if not asked.url.startswith((own, "data:", "blob:")) else None)  # fmt: skip
    page.goto(own)
    page.get_by_role("tab", name="Runs").wait_for()
    yield page
    context.close()
    assert not wrong


def open_panel(page: Any, name: str) -> Any:
    page.get_by_role("tab", name=name, exact=True).click()
    return page.get_by_role("tabpanel").filter(visible=True)


def choose_run(panel: Any, name: str) -> None:
    box = panel.get_by_label("Run").first
    box.click()
    box.fill(name)
    box.press("Enter")
