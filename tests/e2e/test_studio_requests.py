"""A studio as a process: requests that mean harm, and many clients at once."""

import base64
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.studio import ask, studio

if find_spec("gradio") is None:
    pytest.skip("Gradio is not installed", allow_module_level=True)

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
