"""Passwords are not guessed: too many wrong ones lock a name for an address.

django-axes counts and locks; this says who calls, and tells the audit log.
"""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from access.models import User
from core.errors import TooManyAttempts
from events.services import emit
from events.types import EventType


def address_of(request: HttpRequest) -> str | None:
    """Return the caller's address, as our own proxy saw it (AXES_CLIENT_IP_CALLABLE).

    What a client itself claims in the header stands left of what the proxy adds.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    if not _is_loopback(peer):
        return _address(peer)
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2]
    return _address(forwarded.strip()) or _address(peer)


def require_unlocked(request: HttpRequest, username: str) -> None:
    """Refuse a sign-in that was not tried, or was one too many.

    Raises TooManyAttempts; the try that locks the account is told to the log.
    """
    if not getattr(request, "axes_locked_out", False):
        return
    if getattr(request, "axes_failures_since_start", None):
        _tell(username, address_of(request))
    minutes = round(settings.AXES_COOLOFF_TIME.total_seconds() / 60)
    raise TooManyAttempts(
        "Too many wrong passwords for this name from your address. Wait "
        f"{minutes} minutes and try again; tokens work meanwhile."
    )


@transaction.atomic
def _tell(username: str, address: str | None) -> None:
    user = User.objects.filter(username=username).first()
    if user is not None:
        emit(EventType.PRINCIPAL_LOCKED_OUT, user, principal=None, address=address)


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
