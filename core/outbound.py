"""The one HTTP client: bounded in time and size, and only to where it may go.

`post` goes to addresses that users name, so it holds the guard against requests
to our own network (SSRF): the name is resolved once, inside the connect, every
address it has must be allowed, and the checked address is the one dialled.
`unix_get` and `unix_post` go to our own processes over unix sockets.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import httpcore
import httpx
from django.conf import settings

from core.errors import DomainError

HEAD_BYTES = 1024
MAX_BODY_BYTES = 64 * 1024
MAX_UNIX_BODY_BYTES = 64 * 2**20
_CHUNK_BYTES = 16 * 1024
_LOWEST_FREE_PORT = 1024
_HIGHEST_PORT = 65535

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# `is_global` alone lets multicast, NAT64, 6to4 and IPv4-compatible forms pass.
_NEVER = [
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # IETF protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "224.0.0.0/4",  # multicast
        "2001::/23",  # Teredo and other assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
]
_IPV6_UNICAST = ipaddress.ip_network("2000::/3")


class OutboundRefused(DomainError):
    """The address is none that this installation calls."""

    error_code = "INVALID_PARAMETER_VALUE"


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
    check_url(url)
    backend = _GuardedBackend(_Deadline(timeout), httpx.URL(url).scheme)
    pool = httpcore.ConnectionPool(ssl_context=_ssl(), network_backend=backend)
    request = httpx.Request("POST", url, content=body, headers=dict(headers))
    return _exchange(pool, request, MAX_BODY_BYTES)


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
        port = parts.port or _default_port(parts.scheme)
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
    if numeric := _look_up(host, port, socket.AI_NUMERICHOST):
        _check_addresses(numeric, parts.scheme, port)


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _unix_exchange(
    socket_path: str, request: httpx.Request, timeout: float
) -> OutboundResponse:
    backend = _GuardedBackend(_Deadline(timeout), "http")
    pool = httpcore.ConnectionPool(uds=socket_path, network_backend=backend)
    return _exchange(pool, request, MAX_UNIX_BODY_BYTES)


def _exchange(
    pool: httpcore.ConnectionPool, request: httpx.Request, max_bytes: int
) -> OutboundResponse:
    started = time.monotonic()
    request.headers.setdefault("accept-encoding", "identity")
    client = httpx.Client(
        transport=_Transport(pool), trust_env=False, follow_redirects=False
    )
    try:
        with client:
            response = client.send(request, stream=True)
            body = _read(response, max_bytes)
            response.close()
    except httpx.HTTPError as error:
        raise OutboundFailed(_explain(error, request)) from error
    return OutboundResponse(
        status=response.status_code,
        headers=dict(response.headers),
        body=body,
        elapsed_seconds=time.monotonic() - started,
    )


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


class _Deadline:
    """One total time for look-up, connect, handshake, write and read together."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        left = self._at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the total time is over")
        return left


@contextmanager
def _closed_on_error(connection: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


@contextmanager
def _errors_as(error: type[Exception]) -> Iterator[None]:
    """Raise what httpx expects where the socket fails."""
    try:
        yield
    except TimeoutError as timeout:
        raise httpcore.ReadTimeout("the total time is over") from timeout
    except OSError as cause:
        raise error(cause.strerror or str(cause)) from cause


class _Stream(httpcore.NetworkStream):
    """A connection whose every step gets only what is left of the total time."""

    def __init__(self, connection: socket.socket, deadline: _Deadline) -> None:
        self._socket = connection
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._socket.settimeout(self._deadline.remaining())
        with _errors_as(httpcore.ReadError):
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _CHUNK_BYTES):
            self._socket.settimeout(self._deadline.remaining())
            with _errors_as(httpcore.WriteError):
                self._socket.sendall(buffer[start : start + _CHUNK_BYTES])

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        self._socket.settimeout(self._deadline.remaining())
        with _closed_on_error(self._socket), _errors_as(httpcore.ConnectError):
            secured = ssl_context.wrap_socket(
                self._socket, server_hostname=server_hostname
            )
        return _Stream(secured, self._deadline)


class _GuardedBackend(httpcore.NetworkBackend):
    """Resolves once, checks every address, and dials one that was checked."""

    def __init__(self, deadline: _Deadline, scheme: str) -> None:
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
        _check_addresses(addresses, self._scheme, port)
        failure = OSError("no address")
        for position, address in enumerate(addresses, start=1):
            # a dead address gets its share of the time, not all of it
            share = self._deadline.remaining() / (len(addresses) - position + 1)
            try:
                connection = socket.create_connection((str(address), port), share)
            except OSError as error:
                failure = error
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _Stream(connection, self._deadline)
        with _errors_as(httpcore.ConnectError):
            raise failure

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._deadline.remaining())
        with _closed_on_error(connection), _errors_as(httpcore.ConnectError):
            connection.connect(path)
        return _Stream(connection, self._deadline)


def _resolve(host: str, port: int, deadline: _Deadline) -> list[Address]:
    """Look a name up within the deadline.

    In a thread of its own: getaddrinfo knows no time limit and cannot be stopped.
    """
    answer: Future[list[Address]] = Future()

    def look_up() -> None:
        answer.set_result(_look_up(host, port))

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        addresses = answer.result(deadline.remaining())
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(f"looking up {host} took too long") from error
    if not addresses:
        raise httpcore.ConnectError("there is no such host")
    return addresses


def _look_up(host: str, port: int, flags: int = 0) -> list[Address]:
    """Return the addresses of a host, none when there is no such host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError):
        return []
    addresses = [ipaddress.ip_address(str(sockaddr[0])) for *_, sockaddr in found]
    return list(dict.fromkeys(addresses))


def _check_addresses(addresses: list[Address], scheme: str, port: int) -> None:
    """Let a host through only if every address that it has may be called.

    The text does not repeat the address: what a name resolves to inside our
    network is nobody's business.
    """
    for address in addresses:
        if _is_listed(address):
            continue
        if not is_public(address):
            raise OutboundRefused(
                "The host is not on the public internet. An administrator can allow "
                "its network with GREENLIGHT_WEBHOOK_ALLOWED_NETWORKS."
            )
        if scheme != "https":
            raise OutboundRefused("The URL must start with https://.")
        if port != _default_port("https") and port < _LOWEST_FREE_PORT:
            raise OutboundRefused(f"Use port 443 or one from {_LOWEST_FREE_PORT} up.")


def _is_listed(address: Address) -> bool:
    networks: list[str] = settings.WEBHOOK_ALLOWED_NETWORKS
    plain = _unmapped(address)
    return any(
        plain in ipaddress.ip_network(network, strict=False) for network in networks
    )


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet, and nothing else."""
    plain = _unmapped(address)
    if any(plain in network for network in _NEVER):
        return False
    if isinstance(plain, ipaddress.IPv6Address):
        return plain in _IPV6_UNICAST and plain.is_global
    return plain.is_global


def _unmapped(address: Address) -> Address:
    """Return the IPv4 address inside ::ffff:a.b.c.d, else the address."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
