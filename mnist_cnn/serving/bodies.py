"""The bodies of requests, within limits on their size, their time and their number."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from mnist_cnn.serving.refusal import Refusal

SECONDS = 10.0
MAX_BYTES = 10 * 2**20
# Of all bodies together. Bytes count as they arrive: announcing a large body reserves nothing.
MAX_BYTES_OF_ALL = 64 * 2**20


class Bodies:
    """Reads the bodies of requests within limits. Use it from one event loop only."""

    def __init__(self) -> None:
        self._bytes = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Read a request's body. It counts towards the common limit until the block ends.

        Args:
            request: The request.

        Yields:
            The body.

        Raises:
            Refusal: 413 if the body is larger than 10 MiB, 429 if all bodies together are larger
                than 64 MiB, 408 if it takes longer than 10 seconds, 400 if the client disconnects.
        """
        announced = request.headers.get("content-length", "0")
        if len(announced) > 12 or int(announced) > MAX_BYTES:  # h11 accepts only digits
            raise _too_large()
        content = bytearray()
        try:
            try:
                async with asyncio.timeout(SECONDS):
                    async for chunk in request.stream():
                        self._take(content, chunk)
            except TimeoutError:
                raise Refusal(408, f"the body took longer than {SECONDS:.0f} seconds") from None
            except ClientDisconnect:
                raise Refusal(400, "the body is incomplete") from None
            yield bytes(content)
        finally:
            self._bytes -= len(content)

    def _take(self, content: bytearray, chunk: bytes) -> None:
        if len(content) + len(chunk) > MAX_BYTES:
            raise _too_large()
        if self._bytes + len(chunk) > MAX_BYTES_OF_ALL:
            raise Refusal(429, "the app is receiving too much at once; try again in a second")
        content += chunk
        self._bytes += len(chunk)


def _too_large() -> Refusal:
    return Refusal(413, f"the body is larger than {MAX_BYTES // 2**20} MiB")
