"""Who may ask: the right host, the token where there is one, and no request that Gradio would pass
on to another machine."""

import hmac
from collections.abc import Iterable, Sequence
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from energan.io.text import size_text
from energan.studio.uploads import MOST_TOGETHER, bytes_in

COOKIE = "energan_token"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_BODY = 256 * 2**20
"""Bytes of one request."""
REFUSED = ("/gradio_api/proxy=", "/gradio_api/vibe", "/gradio_api/run-history", "/gradio_api/dev")
"""Routes of Gradio that fetch from elsewhere or change the page."""
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),  # the token may stand in the address
    (b"x-frame-options", b"SAMEORIGIN"),
)


class RequestGuard:
    """An ASGI application before another one.

    token: what a request must bring, as a header, a cookie or in the address; None for none.
    hosts: names by which the studio may be called; empty for any. uploads: where they lie.
    """

    def __init__(
        self, app: ASGIApp, token: str | None = None, hosts: Sequence[str] = (),
        uploads: Path | None = None,
    ) -> None:  # fmt: skip
        self.app, self.token, self.hosts, self.uploads = app, token, hosts, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        answer = self._answer(scope)
        if answer is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await answer(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _answer(self, scope: Scope) -> Response | None:
        """What a request gets instead of an answer of the studio; None if it may go on."""
        headers, path = Headers(scope=scope), scope["path"]
        if self.hosts and _host(headers.get("host", "")) not in self.hosts:
            return PlainTextResponse("this name is not the studio's", 421)
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc != headers.get("host"):
            return PlainTextResponse("requests from other pages are refused", 403)
        if path.startswith(REFUSED) or (path.startswith("/gradio_api/file") and "://" in path):
            return PlainTextResponse("the studio fetches nothing from other machines", 403)
        if (denied := self._denied(scope, headers)) is not None:
            return denied
        return self._too_large(scope, headers)

    def _denied(self, scope: Scope, headers: Headers) -> Response | None:
        if self.token is None:
            return None
        query = parse_qs(scope["query_string"].decode("latin1"))
        asked = query.pop("token", [""])[0]
        if asked and self._is_token(asked) and scope.get("method") == "GET":
            rest = urlencode(query, doseq=True)
            answer = RedirectResponse(_local(scope["path"]) + (f"?{rest}" if rest else ""), 303)
            answer.set_cookie(COOKIE, asked, httponly=True, samesite="strict")
            return answer
        bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if any(map(self._is_token, (bearer, asked, _cookie(headers)))):
            return None
        return PlainTextResponse(
            "a token is needed: open the address that `energan studio` printed, or send the "
            "header Authorization: Bearer TOKEN", 401,
        )  # fmt: skip

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self.token or "").encode()) and bool(given)

    def _too_large(self, scope: Scope, headers: Headers) -> Response | None:
        if scope.get("method") not in ("POST", "PUT", "PATCH"):
            return None
        length = headers.get("content-length", "")
        if not length.isdigit():
            return PlainTextResponse("the length of the request must be told", 411)
        if int(length) > MOST_BODY:
            return PlainTextResponse(f"send at most {size_text(MOST_BODY)} at once", 413)
        uploads = self.uploads if scope["path"].startswith("/gradio_api/upload") else None
        if uploads is not None and bytes_in(uploads) + int(length) > MOST_TOGETHER:
            return PlainTextResponse("there is no more room for uploads: restart the studio", 413)
        return None


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    return (urlsplit(f"//{header}").hostname or "") if header else ""


def _local(path: str) -> str:
    """A path that a browser takes for one of this server, as "//x" is not."""
    return "/" + path.lstrip("/\\")


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def hosts_of(address: str) -> Iterable[str]:
    """Names by which a studio at this address is called: of the machine's own alone, since a page
    elsewhere may give its own name this machine's address."""
    return LOOPBACK if address in LOOPBACK else ()
