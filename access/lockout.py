"""Passwords are not guessed: too many wrong ones lock a name for an address.

django-axes counts and locks; this says who calls, and tells the audit log.
"""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from access.models import User
from core.callers import address_of
from core.errors import TooManyAttempts
from events.services import emit
from events.types import EventType


def require_unlocked(request: HttpRequest, username: str) -> None:
    """Refuse a sign-in that was not tried, or was one too many.

    Raises TooManyAttempts; the try that locks the account is told to the log.
    """
    if not getattr(request, "axes_locked_out", False):
        return
    if getattr(request, "axes_failures_since_start", None):
        _tell(username, address_of(request))
    minutes = round(settings.AXES_COOLOFF_TIME.total_seconds() / 60)
    error = TooManyAttempts(
        "Too many wrong passwords for this name from your address. Wait "
        f"{minutes} minutes and try again; tokens work meanwhile."
    )
    raise error.telling(name=username)


@transaction.atomic
def _tell(username: str, address: str | None) -> None:
    user = User.objects.filter(username=username).first()
    if user is not None:
        emit(EventType.PRINCIPAL_LOCKED_OUT, user, principal=None, address=address)
