"""Hangs up on clients that connect and do not say what they want.

uvicorn waits for a request's head for ever; a few thousand connections that each send a byte now
and then would use up all that a process may have open.
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 10.0


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
