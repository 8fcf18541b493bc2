"""The studio's routes for programs."""

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

import torch
from fastapi.testclient import TestClient
from PIL import Image

import energan
from energan.io.pictures import to_uint8
from energan.studio import uploads
from energan.studio.server import ServerOptions, application
from energan.studio.workspace import Workspace

OPTIONS = ServerOptions("127.0.0.1", 0, None, api_only=True)


def png(pixels: torch.Tensor) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("studio") / "runs"
    shutil.copytree(small_run, made / "digits")
    shutil.copytree(small_run, made / "broken")
    (made / "broken" / "config.json").write_text("{")
    return made


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(application(Workspace(folder), OPTIONS), base_url="http://localhost") as made:
        yield made


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    draws = torch.Generator().manual_seed(3)
    return [png(torch.randint(256, (8, 8), generator=draws, dtype=torch.uint8)) for _ in range(3)]


def files(images: list[bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("images", (f"{i}.png", image, "image/png")) for i, image in enumerate(images)]


def test_runs_are_listed_and_a_broken_one_has_its_reason(client: TestClient) -> None:
    found = {one["run"]: one for one in client.get("/api/runs").json()}
    assert found["digits"]["state"] == "finished"
    assert found["broken"]["state"] == "damaged"
    assert "config.json cannot be read" in found["broken"]["reason"]


def test_scores_are_those_of_the_run(client: TestClient, folder: Path, images: list[bytes]) -> None:
    answer = client.post("/api/score", data={"run": "digits"}, files=files(images))
    assert answer.status_code == 200
    found = answer.json()
    run = energan.load(folder / "digits")
    own = run.score(images)
    assert [one["image"] for one in found["scores"]] == ["0.png", "1.png", "2.png"]
    assert [one["energy"] for one in found["scores"]] == own.energy.tolist()
    assert [one["percentile"] for one in found["scores"]] == own.percentile.tolist()
    assert [one["anomalous"] for one in found["scores"]] == own.anomalous.tolist()
    assert run.calibration is not None
    assert (found["threshold"], found["fpr"]) == (run.calibration.threshold, 0.05)
    encoded = [base64.b64encode(image).decode() for image in images]
    again = client.post("/api/score", json={"run": "digits", "images": encoded}).json()
    assert [one["energy"] for one in again["scores"]] == own.energy.tolist()


def test_samples_are_those_of_the_run(client: TestClient, folder: Path) -> None:
    found = client.post("/api/sample", json={"run": "digits", "count": 2, "seed": 5}).json()
    run = energan.load(folder / "digits")
    own = to_uint8(run.sample(2, seed=5), run.domain)
    for image, pixels in zip(found["images"], own, strict=True):
        shown = Image.open(io.BytesIO(base64.b64decode(image)))
        assert (torch.tensor(list(shown.tobytes())) == torch.tensor(pixels.flatten())).all()


@pytest.mark.parametrize(
    ("route", "body", "code", "says"),
    [
        ("score", {"run": "none", "images": ["eA=="]}, 422, "not an image"),
        ("sample", {"run": "none"}, 404, "there is no run 'none'"),
        ("sample", {"run": "../digits"}, 404, "there is no run"),
        ("sample", {"run": "broken"}, 404, "config.json cannot be read"),
        ("sample", {"run": "digits", "count": 0}, 422, "greater than or equal to 1"),
        ("sample", {"run": "digits", "count": 10**6}, 422, "less than or equal to"),
        ("sample", {"run": "digits", "label": "3"}, 422, "was trained without labels"),
        ("sample", {"run": "digits", "other": 1}, 422, "Extra inputs"),
        ("score", {"run": "digits", "images": []}, 422, "at least 1 item"),
        ("score", {"run": "digits", "images": ["?"]}, 422, "not in base64"),
        ("score", {"run": "digits"}, 422, "images is missing"),
        ("score", [], 422, "must be an object"),
    ],
)
def test_what_cannot_be_is_told(
    client: TestClient, route: str, body: object, code: int, says: str
) -> None:
    answer = client.post(f"/api/{route}", json=body)
    assert answer.status_code == code
    assert says in answer.text


def test_what_is_no_image_or_too_large_is_told(
    client: TestClient, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(content: bytes, count: int = 1) -> str:
        given = files([content] * count)
        answer = client.post("/api/score", data={"run": "digits"}, files=given)
        assert answer.status_code == 422
        return str(answer.json()["detail"])

    assert "0.png cannot be read" in post(b"x")
    assert (
        client.post("/api/classify", data={"run": "digits"}, files=files(images)).status_code == 422
    )
    assert (
        client.post("/api/score", content=b"x", headers={"content-type": "image/png"}).status_code
        == 415
    )
    monkeypatch.setattr(uploads, "MOST_PIXELS", 63)
    assert "8x8 is more than 63 pixels" in post(images[0])
    monkeypatch.setattr(uploads, "MOST_FILES", 2)
    assert "give at most 2 at once" in post(images[0], 3)


def test_openapi_describes_the_routes(client: TestClient) -> None:
    found = client.get("/api/openapi.json").json()
    assert {"/api/runs", "/api/score", "/api/classify", "/api/sample"} <= set(found["paths"])
    kinds = found["paths"]["/api/score"]["post"]["requestBody"]["content"]
    assert set(kinds) == {"multipart/form-data", "application/json"}
    assert "/reports/{name}" not in found["paths"]
    assert client.get("/").status_code == 404  # the page is left out


def test_a_report_is_served_as_one_that_runs_nothing(client: TestClient, folder: Path) -> None:
    assert client.get("/reports/digits").status_code == 404
    (folder / "digits" / "report.html").write_text("<p>hello</p>")
    found = client.get("/reports/digits")
    assert found.text == "<p>hello</p>"
    assert "sandbox" in found.headers["content-security-policy"]
