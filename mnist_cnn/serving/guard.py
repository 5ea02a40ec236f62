"""Middleware around the app: refuses foreign pages, adds security headers, limits the time.

Any web page that is open in a browser on this machine can send requests to the app. Such a page has
another origin. If its owner lets its host name point to this machine ("DNS rebinding"), the origin
matches, but the host name is not the app's.
"""

import asyncio
import ipaddress
import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mnist_cnn.serving.refusal import Refusal

REQUEST_SECONDS = 30.0  # from the end of the head to the end of the response
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "cache-control": "no-cache",  # revalidate, so that an updated page shows at once
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",  # with none, a browser would send a form without its origin
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_RAW_HEADERS = [(name.encode(), text.encode()) for name, text in _HEADERS.items()]


class Guard:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, host: str | None) -> None:
        """Wrap an app.

        Args:
            app: The app.
            host: The address that it listens on. On a loopback address, requests must name a
                loopback host; on any other, an IP address, localhost, or `host` itself. None allows
                any name; then the app must protect itself.
        """
        self._app = app
        self._host = host.lower() if host is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        unread = _has_body(scope)

        async def receive_watched() -> Message:
            nonlocal unread
            message = await receive()
            unread = bool(message.get("more_body"))
            return message

        async def send_secured(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = [*message.get("headers", []), *_RAW_HEADERS]
                if unread:  # the client must not send the next request after this one's body
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        if scope["method"] == "HEAD":  # uvicorn leaves out the body
            scope = {**scope, "method": "GET"}
        try:
            self._check(scope)
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._app(scope, receive_watched, send_secured)
        except Refusal as refusal:
            await _send_refusal(send_secured, refusal)
        except TimeoutError:
            if not started:
                message = f"the request took longer than {REQUEST_SECONDS:.0f} seconds"
                await _send_refusal(send_secured, Refusal(408, message))

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_own_host(host):
            raise Refusal(403, f"the host name {host[:80]!a} is not this app's")
        if origin is None or scope["method"] in _SAFE_METHODS:  # command-line tools send no Origin
            return
        if _netloc(origin) != host:
            raise Refusal(403, "requests from other web pages are refused")

    def _is_own_host(self, header: str) -> bool:
        if self._host is None:
            return True
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        if self._host in LOOPBACK:
            return name in LOOPBACK
        return name in ("localhost", self._host) or _is_address(name)


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """Whether `name` is an IP address; unlike a host name, nobody can let it point elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _send_refusal(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"detail": str(refusal)}).encode()
    headers: Iterable[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
