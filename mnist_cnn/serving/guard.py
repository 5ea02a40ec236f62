"""The door: who may come in, what every answer carries, and how long a request may take.

The app answers on this machine, and any page in its browser can send requests there. Such a page
has another origin, or, if its owner lets its name point here ("DNS rebinding"), another host name.
"""

import asyncio
import ipaddress
import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mnist_cnn.serving.refusal import Refusal

SECONDS = 30.0  # for all of a request, its answer included
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SAFE = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "cache-control": "no-cache",  # asked again each time: after an update the page is the new one
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_RAW_HEADERS = [(name.encode(), text.encode()) for name, text in _HEADERS.items()]


class Guard:
    """ASGI middleware around the whole app.

    host: the address that the app listens on. On a loopback address it is called by a loopback
        name; on another one by any address, or by the name that was given.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app, self._host = app, host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def secured(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message = {**message, "headers": [*message.get("headers", []), *_RAW_HEADERS]}
            await send(message)

        try:
            self._check(scope)
            async with asyncio.timeout(SECONDS):
                await self._app(scope, receive, secured)
        except Refusal as refusal:
            await _answer(secured, refusal)
        except TimeoutError:
            if not begun:
                await _answer(secured, Refusal(408, f"this took longer than {SECONDS:.0f} seconds"))

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            raise Refusal(403, f"the host name {host[:80]!a} is not this app's")
        # Tools send no Origin; browsers send it with whatever is more than a look.
        if origin is not None and scope["method"] not in _SAFE and _netloc(origin) != host:
            raise Refusal(403, "requests from other pages are not answered")

    def _is_ours(self, header: str) -> bool:
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        if self._host in LOOPBACK:
            return name in LOOPBACK
        return name in ("localhost", self._host) or _is_address(name)


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """Whether it is an IP address, which nobody can let point elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _answer(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"detail": str(refusal)}).encode()
    headers: Iterable[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
