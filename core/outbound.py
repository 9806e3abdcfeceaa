"""The one HTTP client: bounded in time and size, and only to where it may go.

`post` goes to addresses that users name, so it holds the guard against requests
to our own network (SSRF): the name is resolved once, inside the connect, every
address it has must be allowed, and the checked address is the one dialled.
`unix_get` and `unix_post` go to our own processes over unix sockets.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import Self

import httpcore
import httpx
from django.conf import settings

from core.addresses import (
    Address,
    OutboundRefused,
    addresses_of,
    check_addresses,
    check_peer,
    default_port,
)
from core.errors import DomainError
from core.streams import Deadline, Stream, closed_on_error, errors_as

HEAD_BYTES = 1024
MAX_BODY_BYTES = 64 * 1024
MAX_UNIX_BODY_BYTES = 64 * 2**20
_HIGHEST_PORT = 65535


class OutboundFailed(DomainError):
    """The other side did not answer properly, or not in time."""

    error_code = "TEMPORARILY_UNAVAILABLE"
    status_code = 503


@dataclass(frozen=True)
class OutboundResponse:
    """What the other side answered; `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_seconds: float

    @property
    def body_head(self) -> bytes:
        """The first KiB of the body: enough for a log."""
        return self.body[:HEAD_BYTES]


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, timeout: float
) -> OutboundResponse:
    """POST to an address that a user named; redirects are answers, not followed.

    `timeout` is the total in seconds. Raises OutboundRefused when the address may
    not be called, and OutboundFailed when no answer came.
    """
    with Session(timeout) as session:
        return session.post(url, body, headers)


class Session:
    """Several POSTs in a row; a connection whose address was checked is used again.

    For moments, not for hours: what the name resolves to, and what is allowed, is
    asked only when a connection is made. `timeout` is the total of each POST.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._deadline = Deadline(timeout)
        self._client: httpx.Client | None = None
        self._scheme = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._close()

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str]
    ) -> OutboundResponse:
        """POST as `post` does. Raises OutboundRefused and OutboundFailed."""
        check_url(url)
        self._deadline.restart(self._timeout)
        request = httpx.Request("POST", url, content=body, headers=dict(headers))
        is_used = self._client is not None
        try:
            return _send(self._client_for(request), request, MAX_BODY_BYTES)
        except _CutOff as error:
            self._close()
            if not is_used:
                raise OutboundFailed(_explain(error.cause, request)) from error
        # the other side may close a connection that waits, in the very moment
        return self._post_anew(request)

    def _post_anew(self, request: httpx.Request) -> OutboundResponse:
        try:
            return _send(self._client_for(request), request, MAX_BODY_BYTES)
        except _CutOff as error:
            self._close()
            raise OutboundFailed(_explain(error.cause, request)) from error

    def _client_for(self, request: httpx.Request) -> httpx.Client:
        if self._client is None or self._scheme != request.url.scheme:
            self._close()
            self._scheme = request.url.scheme
            backend = _GuardedBackend(self._deadline, self._scheme)
            pool = httpcore.ConnectionPool(
                ssl_context=_ssl(), network_backend=backend, max_connections=1
            )
            self._client = _client(pool)
        return self._client

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None


def unix_get(socket_path: str, path: str, *, timeout: float) -> OutboundResponse:
    """GET from one of our own processes. Raises OutboundFailed."""
    request = httpx.Request("GET", f"http://localhost{path}")
    return _unix_exchange(socket_path, request, timeout)


def unix_post(
    socket_path: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeout: float,
) -> OutboundResponse:
    """POST to one of our own processes. Raises OutboundFailed."""
    request = httpx.Request(
        "POST", f"http://localhost{path}", content=body, headers=dict(headers)
    )
    return _unix_exchange(socket_path, request, timeout)


def check_url(url: str) -> None:
    """Refuse what cannot be called whatever its name resolves to; no look-up.

    Raises OutboundRefused. Numeric hosts are checked in every spelling.
    """
    try:
        parts = httpx.URL(url)
        port = parts.port or default_port(parts.scheme)
    except (httpx.InvalidURL, ValueError) as error:
        raise OutboundRefused(f"The URL is not valid: {error}.") from error
    if parts.scheme not in {"https", "http"} or not parts.raw_host:
        raise OutboundRefused("The URL must start with https:// and name a host.")
    if port > _HIGHEST_PORT:
        raise OutboundRefused(f"There is no port {port}.")
    if parts.userinfo:
        raise OutboundRefused("The URL must not hold a user name or password.")
    if parts.scheme == "http" and not settings.WEBHOOK_ALLOWED_NETWORKS:
        raise OutboundRefused("The URL must start with https://.")
    host = parts.raw_host.decode("ascii").strip("[]")
    if numeric := addresses_of(host, port, socket.AI_NUMERICHOST):
        check_addresses(numeric, parts.scheme, port)


def _unix_exchange(
    socket_path: str, request: httpx.Request, timeout: float
) -> OutboundResponse:
    backend = _GuardedBackend(Deadline(timeout), "http")
    pool = httpcore.ConnectionPool(uds=socket_path, network_backend=backend)
    return _exchange(pool, request, MAX_UNIX_BODY_BYTES)


def _exchange(
    pool: httpcore.ConnectionPool, request: httpx.Request, max_bytes: int
) -> OutboundResponse:
    try:
        with _client(pool) as client:
            return _send(client, request, max_bytes)
    except _CutOff as error:
        raise OutboundFailed(_explain(error.cause, request)) from error


def _client(pool: httpcore.ConnectionPool) -> httpx.Client:
    return httpx.Client(
        transport=_Transport(pool), trust_env=False, follow_redirects=False
    )


def _send(
    client: httpx.Client, request: httpx.Request, max_bytes: int
) -> OutboundResponse:
    """Exchange one request for its answer.

    Raises OutboundFailed, and _CutOff when the connection was closed on us.
    """
    started = time.monotonic()
    request.headers.setdefault("accept-encoding", "identity")
    try:
        response = client.send(request, stream=True)
        body = _read(response, max_bytes)
        response.close()
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
        raise _CutOff(error) from error
    except httpx.HTTPError as error:
        raise OutboundFailed(_explain(error, request)) from error
    return OutboundResponse(
        status=response.status_code,
        headers=dict(response.headers),
        body=body,
        elapsed_seconds=time.monotonic() - started,
    )


class _CutOff(Exception):
    """The connection ended before the answer did."""

    def __init__(self, cause: httpx.HTTPError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _read(response: httpx.Response, max_bytes: int) -> bytes:
    """Read the body as it was sent, and stop at the limit."""
    body = bytearray()
    for part in response.iter_raw():
        body += part
        if len(body) >= max_bytes:
            break
    return bytes(body[:max_bytes])


def _explain(error: httpx.HTTPError, request: httpx.Request) -> str:
    host = request.url.host
    if isinstance(error, httpx.TimeoutException):
        return f"{host} did not answer in time; it must answer first and work later."
    return f"{host} could not be called: {str(error) or type(error).__name__}."


class _Transport(httpx.HTTPTransport):
    """httpx's own transport, over a pool whose connections are guarded."""

    def __init__(self, pool: httpcore.ConnectionPool) -> None:
        self._pool = pool


@cache
def _ssl() -> ssl.SSLContext:
    """Load the certificates once: it takes longer than a request."""
    return httpx.create_ssl_context(trust_env=False)


class _GuardedBackend(httpcore.NetworkBackend):
    """Resolves once, checks every address, and dials one that was checked."""

    def __init__(self, deadline: Deadline, scheme: str) -> None:
        self._deadline = deadline
        self._scheme = scheme

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = _resolve(host, port, self._deadline)
        check_addresses(addresses, self._scheme, port)
        failure = OSError("no address")
        for position, address in enumerate(addresses, start=1):
            # a dead address gets its share of the time, not all of it
            share = self._deadline.remaining() / (len(addresses) - position + 1)
            try:
                connection = socket.create_connection((str(address), port), share)
            except OSError as error:
                failure = error
                continue
            with closed_on_error(connection):
                check_peer(connection, address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return Stream(connection, self._deadline)
        with errors_as(httpcore.ConnectError):
            raise failure

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._deadline.remaining())
        with closed_on_error(connection), errors_as(httpcore.ConnectError):
            connection.connect(path)
        return Stream(connection, self._deadline)


def _resolve(host: str, port: int, deadline: Deadline) -> list[Address]:
    """Look a name up within the deadline.

    In a thread of its own: getaddrinfo knows no time limit and cannot be stopped.
    """
    answer: Future[list[Address]] = Future()

    def look_up() -> None:
        answer.set_result(addresses_of(host, port))

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        addresses = answer.result(deadline.remaining())
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(f"looking up {host} took too long") from error
    if not addresses:
        raise httpcore.ConnectError("there is no such host")
    return addresses
