"""What stands before the pages and the API: who may ask, from where, and how much they may send."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .local import ISOLATED, is_local

COOKIE = "dinar-token"
HEADERS = {  # of every answer
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
    **ISOLATED,
}  # fmt: skip


class Guard:
    """An ASGI application before another one.

    Without a token only this computer may be meant: another name in the Host header is a DNS rebinding attack. Pages of
    other sites may not write, and no body may be larger than ``limit`` bytes.
    """

    def __init__(self, app: ASGIApp, token: str | None, limit: int) -> None:
        self.app, self.token, self.limit = app, token, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        refusal = self._refusal(Request(scope))
        await (refusal or self.app)(scope, _limited(receive, self.limit), _with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if self.token is None and not is_local(host):
            return _no(400, "this server is for this computer alone: use the address that it printed")
        if self.token is not None and not self._knows(given := _token(request)):
            return _no(401, "expected the address with the token that `dinar serve` printed, or the header "
                            "'Authorization: Bearer TOKEN'")  # fmt: skip
        if self.token is not None and request.url.path == "/" and "token" in request.query_params:
            answer = RedirectResponse("/", 303)  # the address of the page does not keep the token
            answer.set_cookie(COOKIE, given, httponly=True, samesite="strict")
            return answer
        if request.method not in ("GET", "HEAD") and _foreign(request, host):
            return _no(403, "pages of other sites may not write here")
        size = request.headers.get("content-length", "0")
        if not size.isdigit() or int(size) > self.limit:
            return _no(413, f"too large: expected at most {self.limit >> 20} MB in one upload")
        return None

    def _knows(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), (self.token or "").encode())


def _token(request: Request) -> str:
    """The token of the address, a header or the page's cookie."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return given.strip()
    asked = request.query_params.get("token", "")
    try:
        cookie = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        cookie = None
    return asked or (cookie.value if cookie else "")


def _foreign(request: Request, host: str) -> bool:
    """Whether a browser says that another site's page sends this; other programs say nothing."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "none")
    return site not in ("none", "same-origin") or (origin is not None and origin.split("://")[-1] != host)


def _no(status: int, why: str) -> JSONResponse:
    return JSONResponse({"detail": why}, status, {"Connection": "close"} if status == 413 else None)


def _limited(receive: Receive, limit: int) -> Receive:
    """Bodies that do not state their size are counted."""
    count = 0

    async def counted() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > limit:
            raise HTTPException(413, f"too large: expected at most {limit >> 20} MB in one upload")
        return message

    return counted


def _with_headers(send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {k.lower() for k, _ in message["headers"]}
            more = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
            message["headers"] = [*message["headers"], *((k, v) for k, v in more if k not in known)]
        await send(message)

    return answer
