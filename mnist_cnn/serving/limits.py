"""What a client may take of time and memory.

uvicorn waits for a request's head for ever, and takes a body of any size; a few thousand
connections that each send a byte now and then would use up all that a process may have open.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from mnist_cnn.serving.refusal import Refusal

SECONDS = 10.0  # for the head of a request, and for its body
MAX_BYTES = 10 * 2**20
# Counted as they arrive, so that a client that only announces a large body holds no room.
MAX_BYTES_OF_ALL = 64 * 2**20


class ImpatientProtocol(H11Protocol):
    """uvicorn's HTTP, with a time limit on the head of each request.

    It also limits how long a body that was refused may go on coming in.
    """

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._limit is not None:
            self._limit.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._limit is None:
            self._limit = self.loop.call_later(SECONDS, self.transport.close)
        elif not idle and self._limit is not None:
            self._limit.cancel()
            self._limit = None


class Bodies:
    """All bodies in memory at the moment; belongs to one event loop."""

    def __init__(self) -> None:
        self._bytes = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The request's body, counted as held until the block ends.

        Raises Refusal: 413 if it is larger than 10 MiB, 429 if all together are larger than 64 MiB,
        408 if it takes longer than 10 seconds, 400 if it breaks off.
        """
        announced = request.headers.get("content-length", "0")
        if len(announced) > 12 or int(announced) > MAX_BYTES:  # h11 lets only digits pass
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
                raise Refusal(400, "the body breaks off") from None
            yield bytes(content)
        finally:
            self._bytes -= len(content)

    def _take(self, content: bytearray, chunk: bytes) -> None:
        if len(content) + len(chunk) > MAX_BYTES:
            raise _too_large()
        if self._bytes + len(chunk) > MAX_BYTES_OF_ALL:
            raise Refusal(429, "too much is being sent at once; try again in a second")
        content += chunk
        self._bytes += len(chunk)


def _too_large() -> Refusal:
    return Refusal(413, f"the body is larger than {MAX_BYTES // 2**20} MiB")
