"""HTTP connections within limits, whatever the client does or fails to do.

uvicorn waits forever for the head of a request, and for a client that does not read its responses.
It also closes a connection while the client is still sending, so that the client sees "connection
reset" instead of the response. Here a connection has a time limit in each of its states. If the
client may still be sending, closing takes two steps: the server sends the response and the end of
its stream, and then reads and drops a limited rest of the request.
"""

import asyncio
import contextlib
import socket
import struct
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # to send the head of a request
ANSWER_SECONDS = 40.0  # from the head to the end of the response
STALL_SECONDS = 10.0  # without reading the response
CLOSE_SECONDS = 10.0  # to read the rest of the response and to stop sending
MAX_DROPPED_BYTES = 256 * 2**20
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with a timeout of 0


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with limits on the time and the number of connections.

    `limit_concurrency` of uvicorn's configuration is the number; more are disconnected at once.

    Attributes:
        closing: Whether no further request is answered.
    """

    closing = False
    _timer: asyncio.TimerHandle | None = None
    _state: object = None
    _half_closed = False
    _dropped_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._socket = transport
        super().connection_made(_Transport(transport, self))
        self._watch()
        limit = self.limit_concurrency
        if limit is not None and len(self.connections) > limit:
            self._abort()

    def data_received(self, data: bytes) -> None:
        if self.closing:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > MAX_DROPPED_BYTES:
                self._abort()
            return
        super().data_received(data)
        self._watch()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Stay open if the client closed its side after a complete request."""
        self._half_closed = True
        return self.has_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_answering():
            self._socket.resume_reading()
            if self._half_closed:
                self.close()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def shutdown(self) -> None:
        if self.closing:
            self._abort()
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def close(self) -> None:
        """Close once the client has the response and has stopped sending, or after a time limit."""
        if self.closing:
            return
        self.closing = True
        if self.conn.their_state in (h11.SEND_BODY, h11.ERROR):  # the client may still be sending
            with contextlib.suppress(OSError):  # it has disconnected already
                self._socket.write_eof()
            self._socket.resume_reading()
        else:
            self._socket.close()
        self._watch()

    def _abort(self) -> None:
        """Disconnect now, without waiting until the client has read everything."""
        self.closing = True
        if self._socket.get_write_buffer_size():
            # Otherwise the kernel would keep what it has not sent yet, and keep trying.
            kernel = self._socket.get_extra_info("socket")
            kernel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.abort()

    def _watch(self) -> None:
        """Restart the timer if the connection has entered another state."""
        if self.closing:
            seconds = CLOSE_SECONDS
        elif self.flow.write_paused:
            seconds = STALL_SECONDS
        elif self._is_answering():
            seconds = ANSWER_SECONDS
        else:
            seconds = HEAD_SECONDS
        state = (self.closing, seconds, self.cycle)
        if state == self._state:
            return
        self._state = state
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._abort)

    def has_request(self) -> bool:
        """Whether a complete request waits for its response."""
        return self._is_answering() and not self.cycle.more_body

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


class _Transport(asyncio.Transport):
    """The transport that uvicorn gets. It differs in `close` only."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        super().__init__()
        self._transport = transport
        self._connection = connection

    def close(self) -> None:
        self._connection.close()

    def is_closing(self) -> bool:
        return self._connection.closing or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_closing():
            self._transport.write(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        # uvicorn reads on whenever the app waits for the client to disconnect. With a client that
        # pipelines requests, the memory for those that wait would grow without limit.
        if not self._connection.has_request():
            self._transport.resume_reading()
