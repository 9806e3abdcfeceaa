"""Who calls, from where, by which program and with what credential.

Read from the request that is being served; all are empty outside one.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest

from core.errors import DomainError

_LONGEST_AGENT = 200
_LONGEST_ADDRESS = 45  # of IPv6 with an IPv4 tail; a zone may follow
_ID = "known_id"
_CREDENTIAL = "used_credential"
_PRINCIPAL = "known_principal"
_REFUSAL = "noted_refusal"

_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)
_request_id: ContextVar[str] = ContextVar("request_id", default="")


@contextmanager
def serving(request: HttpRequest, request_id: str = "") -> Iterator[None]:
    """Let what is called within know the request, again if need be."""
    request_id = request_id or getattr(request, _ID, "")
    setattr(request, _ID, request_id)
    tokens = _request.set(request), _request_id.set(request_id)
    try:
        yield
    finally:
        _request.reset(tokens[0])
        _request_id.reset(tokens[1])


def current_user_agent() -> str:
    """Return what the client of this request calls itself, or an empty string."""
    request = _request.get()
    return request.headers.get("User-Agent", "") if request else ""


def current_origin() -> dict[str, str]:
    """Return what the audit log keeps of the request, by the names of its columns."""
    request = _request.get()
    if request is None:
        return {"request_id": _request_id.get()}
    return {
        "request_id": _request_id.get(),
        "credential": credential_of(request),
        "address": (address_of(request) or "")[:_LONGEST_ADDRESS],
        "user_agent": _printable(current_user_agent())[:_LONGEST_AGENT],
    }


def note_credential(request: HttpRequest, credential: str) -> None:
    """Remember by what the caller was known: never a secret itself."""
    setattr(request, _CREDENTIAL, credential)


def note_principal(request: HttpRequest, principal: Any) -> None:
    """Remember who calls, where no middleware does."""
    setattr(request, _PRINCIPAL, principal)


def principal_of(request: HttpRequest) -> Any:
    """Return who calls, or None when nobody was let in."""
    noted = getattr(request, _PRINCIPAL, None)
    user = noted or getattr(request, "user", None)
    return user if user is not None and user.is_authenticated else None


def note_refusal(error: DomainError) -> None:
    """Remember why the request that is served is refused, for the audit log."""
    request = _request.get()
    if request is not None and not hasattr(request, _REFUSAL):
        setattr(request, _REFUSAL, error)


def refusal_of(request: HttpRequest) -> DomainError | None:
    """Return why a request was refused, as far as it was noted."""
    error: DomainError | None = getattr(request, _REFUSAL, None)
    return error


def credential_of(request: HttpRequest) -> str:
    """Name the credential of a request: `token:<id>`, `session:<digest>` or nothing."""
    if noted := getattr(request, _CREDENTIAL, ""):
        return str(noted)
    session: Any = getattr(request, "session", None)
    key = session.session_key if session is not None else None
    return f"session:{hashlib.sha256(key.encode()).hexdigest()[:16]}" if key else ""


def address_of(request: HttpRequest) -> str | None:
    """Return the caller's address, as our own proxy saw it (AXES_CLIENT_IP_CALLABLE).

    What a client itself claims in the header stands left of what the proxy adds.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    if not _is_loopback(peer):
        return _address(peer)
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2]
    return _address(forwarded.strip()) or _address(peer)


def _is_loopback(address: str) -> bool:
    # a socket file has no address; only our own proxy speaks through one
    return not address or bool(
        _address(address) and ipaddress.ip_address(address).is_loopback
    )


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
