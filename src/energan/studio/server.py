"""The studio's server: the page, the routes for programs, and the guard before both."""

import secrets
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp

from energan.errors import RunError, SettingError
from energan.studio import api
from energan.studio.guard import LOOPBACK, RequestGuard, hosts_of
from energan.studio.open_runs import OpenRuns
from energan.studio.workspace import Workspace
from energan.version import __version__

REPORT_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""A report shows pictures of its own, and nothing in it runs: it may come from elsewhere."""


@dataclass(frozen=True)
class ServerOptions:
    """address, port: where to listen. token: what requests must bring; None for none. api_only:
    without the page."""

    address: str
    port: int
    token: str | None
    api_only: bool = False


def application(workspace: Workspace, options: ServerOptions) -> ASGIApp:
    """The whole as an ASGI application."""
    app = FastAPI(
        title="energan studio", version=__version__, docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json",
    )  # fmt: skip
    runs = OpenRuns(workspace)
    app.include_router(api.routes(runs))
    api.answer_errors(app)

    @app.get("/reports/{name:path}", include_in_schema=False)
    def report(name: str) -> Response:
        path = workspace.run(name).path / "report.html"
        if not path.is_file():
            raise RunError(f"{name} has no report yet")
        headers = {"content-security-policy": REPORT_POLICY}
        return FileResponse(path, media_type="text/html", headers=headers)

    if not options.api_only:
        from energan.studio.page import mount

        mount(app, runs)
    return RequestGuard(app, options.token, tuple(hosts_of(options.address)), workspace.uploads)


def serve(folder: Path, data: Sequence[Path], options: ServerOptions) -> None:
    """Answer requests until Ctrl-C. Raises SettingError if the port is taken."""
    listening = _listen(options)
    port = listening.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="energan-studio-") as uploads:
        workspace = Workspace(folder, data, Path(uploads))
        app = application(workspace, options)
        _say_where(options, port)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=2
        )
        uvicorn.Server(config).run(sockets=[listening])


def token_for(address: str, given: str | None) -> str | None:
    """The token of a studio at this address: as given, or a new one where others can reach it."""
    if given is not None and len(given) < 8:
        raise SettingError("--token: give at least 8 characters")
    return given or (None if address in LOOPBACK else secrets.token_urlsafe(24))


def _listen(options: ServerOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((options.address, options.port))
    except (OSError, OverflowError) as error:
        made.close()
        raise SettingError(
            f"--address {options.address} --port {options.port}: cannot listen there ({error}); "
            "choose another port"
        ) from None
    made.listen(128)
    return made


def _say_where(options: ServerOptions, port: int) -> None:
    host = f"[{options.address}]" if ":" in options.address else options.address
    words = f"?token={options.token}" if options.token else ""
    what = "routes for programs" if options.api_only else "studio"
    path = "/api/openapi.json" if options.api_only else "/"
    print(f"{what}: http://{host}:{port}{path}{words}", flush=True)
    print("Ctrl-C ends it; trainings that it started go on", flush=True)
