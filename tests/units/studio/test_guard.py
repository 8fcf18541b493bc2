"""Who is answered: by host, origin, token and size."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from energan.studio import guard
from energan.studio.guard import RequestGuard, hosts_of

TOKEN = "a-long-token"


def client(token: str | None = None, hosts: tuple[str, ...] = (), **more: object) -> TestClient:
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def echo(path: str, request: Request) -> dict[str, str]:
        return {"path": path, "query": str(request.url.query)}

    made = RequestGuard(app, token, hosts, **more)  # type: ignore[arg-type]
    return TestClient(made, base_url="http://127.0.0.1:7860", follow_redirects=False)


def test_without_a_token_this_machine_is_answered() -> None:
    found = client(hosts=tuple(hosts_of("127.0.0.1"))).get("/x")
    assert found.status_code == 200
    assert found.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost:7860", 200), ("127.0.0.1", 200), ("[::1]:7860", 200),
        ("evil.test", 421), ("127.0.0.1.evil.test", 421), ("localhost@evil.test", 421), ("", 421),
    ],
)  # fmt: skip
def test_another_name_for_this_machine_is_refused(host: str, code: int) -> None:
    """A page elsewhere may let its own name mean 127.0.0.1."""
    found = client(hosts=tuple(hosts_of("127.0.0.1"))).get("/", headers={"host": host})
    assert found.status_code == code


def test_other_pages_may_not_ask() -> None:
    asked = client()
    for origin in ("http://evil.test", "null", "http://127.0.0.1:1"):
        assert asked.post("/x", headers={"origin": origin}, content=b"").status_code == 403
    own = asked.post("/x", headers={"origin": "http://127.0.0.1:7860"}, content=b"")
    assert own.status_code == 200


def test_a_token_is_taken_as_header_or_cookie_and_from_the_address_once() -> None:
    asked = client(TOKEN)
    assert asked.get("/x").status_code == 401
    assert asked.get("/x", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    for wrong in ("Bearer", "Bearer ", "Bearer no", f"Bearer {TOKEN}x", TOKEN[:-1]):
        assert asked.get("/x", headers={"authorization": wrong}).status_code == 401
    sent = asked.get(f"/x?token={TOKEN}&a=1")
    assert (sent.status_code, sent.headers["location"]) == (303, "/x?a=1")
    assert "HttpOnly" in sent.headers["set-cookie"]
    assert asked.get("/x").status_code == 200  # the client keeps the cookie
    assert client(TOKEN).get("/x?token=no").status_code == 401
    assert client(TOKEN).get("/x", headers={"cookie": "energan_token=no"}).status_code == 401


def test_the_redirect_stays_here() -> None:
    sent = client(TOKEN).get(f"http://127.0.0.1:7860//evil.test/?token={TOKEN}")
    assert sent.headers["location"] == "/evil.test/"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://evil.test/", "/gradio_api/file=http://evil.test/x.png",
        "/gradio_api/file=https%3A%2F%2Fevil.test", "/gradio_api/vibe-edit",
        "/gradio_api/dev/reload",
    ],
)  # fmt: skip
def test_nothing_is_fetched_from_elsewhere(path: str) -> None:
    assert client().get(path).status_code == 403


def test_large_requests_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_BODY", 100)
    monkeypatch.setattr(guard, "MOST_TOGETHER", 150)
    asked = client(uploads=tmp_path)
    assert asked.post("/x", content=b"x" * 100).status_code == 200
    assert asked.post("/x", content=b"x" * 101).status_code == 413
    assert asked.post("/x", content=iter([b"x"])).status_code == 411
    assert asked.post("/gradio_api/upload", content=b"x" * 100).status_code == 200
    (tmp_path / "there").write_bytes(b"x" * 60)
    assert asked.post("/gradio_api/upload", content=b"x" * 100).status_code == 413
