"""Connections that get one total time for everything that is done with them.

Used by `core.outbound`, which says where they lead.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpcore

_CHUNK_BYTES = 16 * 1024


class Deadline:
    """One total time for look-up, connect, handshake, write and read together."""

    def __init__(self, seconds: float) -> None:
        self.restart(seconds)

    def restart(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        left = self._at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the total time is over")
        return left


@contextmanager
def closed_on_error(connection: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


@contextmanager
def errors_as(error: type[Exception]) -> Iterator[None]:
    """Raise what httpx expects where the socket fails."""
    try:
        yield
    except TimeoutError as timeout:
        raise httpcore.ReadTimeout("the total time is over") from timeout
    except OSError as cause:
        raise error(cause.strerror or str(cause)) from cause


class Stream(httpcore.NetworkStream):
    """A connection whose every step gets only what is left of the total time."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._socket = connection
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._socket.settimeout(self._deadline.remaining())
        with errors_as(httpcore.ReadError):
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _CHUNK_BYTES):
            self._socket.settimeout(self._deadline.remaining())
            with errors_as(httpcore.WriteError):
                self._socket.sendall(buffer[start : start + _CHUNK_BYTES])

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> object:
        """Tell whether a connection that waits was closed: then it can be read."""
        if info != "is_readable":
            return None
        readable, _, _ = select.select([self._socket], [], [], 0)
        return bool(readable)

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        self._socket.settimeout(self._deadline.remaining())
        with closed_on_error(self._socket), errors_as(httpcore.ConnectError):
            secured = ssl_context.wrap_socket(
                self._socket, server_hostname=server_hostname
            )
        return Stream(secured, self._deadline)
