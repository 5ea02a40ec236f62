"""Access by token, for an app that others can reach.

A program sends the token with each request. A browser sends it once, in a link or in the form that
it gets instead of the page; from then on it has a cookie.
"""

import asyncio
import hmac
import secrets
from pathlib import Path
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mnist_cnn.serving.refusal import Refusal

_FORM = Path(__file__).parent / "static" / "login.html"
_OPEN_PATHS = ("/static/style.css", "/static/icon.svg")  # what the form needs
# The page that a link with the token leads to. It is the app's own page that then opens `/`: after
# a redirect, a browser that followed a link on another site would not send a strict cookie.
_WELCOME = (
    '<!doctype html><meta http-equiv="refresh" content="0; url=/"><title>MNIST digits</title>'
)
_MAX_FORM_BYTES = 4096
# A limit of 32 guesses a second. It delays nobody who has the token.
_WRONG_SECONDS = 0.5
_MAX_WRONG_AT_ONCE = 16


class Login:
    """ASGI middleware that refuses requests without the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        """Wrap an app.

        Args:
            app: The app.
            token: Printable ASCII characters without spaces.
        """
        self._app = app
        self._token = token
        # Unlike the token it cannot be guessed, and it reveals nothing. Other servers on this host
        # may see it, since cookies are sent to all ports.
        self._cookie = secrets.token_hex(32)
        self._form = _FORM.read_text()
        self._wrong_now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scope["path"] == "/" and request.method == "POST":
            response = await self._enter(request, await _form_token(request))
        elif scope["path"] == "/" and "token" in request.query_params:
            response = await self._enter(request, request.query_params["token"])
        elif scheme.lower() == "bearer":
            if _equal(bearer.strip(), self._token):
                await self._app(scope, receive, send)
                return
            response = await self._refuse_wrong(request)
        elif _equal(request.cookies.get(_cookie_name(request), ""), self._cookie):
            await self._app(scope, receive, send)
            return
        else:
            response = self._refuse(
                request, "send the app's token as `Authorization: Bearer TOKEN`"
            )
        await response(scope, receive, send)

    async def _enter(self, request: Request, token: str) -> Response:
        """Answer a form or a link with the cookie."""
        if not _equal(token, self._token):
            return await self._refuse_wrong(request)
        response: Response
        if request.method == "POST":
            response = RedirectResponse("/", status_code=303)
        else:
            response = HTMLResponse(_WELCOME)
        response.set_cookie(
            _cookie_name(request),
            self._cookie,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",  # behind a proxy that encrypts
        )
        return response

    async def _refuse_wrong(self, request: Request) -> Response:
        """Refuse a wrong token after a while, so that guessing the right one takes long."""
        if self._wrong_now >= _MAX_WRONG_AT_ONCE:
            raise Refusal(429, "too many wrong tokens; try again in a second")
        self._wrong_now += 1
        try:
            await asyncio.sleep(_WRONG_SECONDS)
        finally:
            self._wrong_now -= 1
        return self._refuse(request, "this is not the app's token")

    def _refuse(self, request: Request, problem: str) -> Response:
        headers = {"www-authenticate": "Bearer"}
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"detail": problem}, 401, headers)
        form = self._form
        if request.method == "POST" or "token" in request.query_params:
            alert = f'<p role="alert">{problem[0].upper()}{problem[1:]}.</p>'
            form = form.replace("<!-- problem -->", alert)
        return HTMLResponse(form, 401, headers)


def _cookie_name(request: Request) -> str:
    """A name for each port, as another app on this host has a cookie of its own."""
    return f"mnist_cnn_{request.scope['server'][1]}"


async def _form_token(request: Request) -> str:
    """The token that the form sends; empty if there is none."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_FORM_BYTES:
                raise Refusal(413, f"the form is larger than {_MAX_FORM_BYTES:,} bytes")
        fields = parse_qs(body.decode("ascii"), max_num_fields=4)
    except (ClientDisconnect, ValueError):  # incomplete, or not a form
        return ""
    return fields.get("token", [""])[0]


def _equal(given: str, expected: str) -> bool:
    """Compare in a time that does not depend on how much of the two is equal."""
    return hmac.compare_digest(given.encode(), expected.encode())
