"""When a token was last used, to the minute, written after the answer is out.

One write per token and minute; nobody waits for it, and no request fails by it.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from functools import partial

from django.db import DatabaseError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from access.models import AccessToken
from core.http import Handler

logger = logging.getLogger(__name__)

_MINUTE = dt.timedelta(minutes=1)
_NOTE = "used_token"


class LastUseMiddleware:
    """Write the use that was noted, when the server closes the sent response."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if note := getattr(request, _NOTE, None):
            # where Django itself puts what is to be done once the body is out
            response._resource_closers.append(partial(_write, *note))  # type: ignore[attr-defined]  # not in the stubs
        return response


def note_use(
    request: HttpRequest, token_id: uuid.UUID, last_used_at: dt.datetime | None
) -> None:
    """Note that a token is used now, if that is not written for this minute."""
    now = timezone.now()
    if last_used_at is None or last_used_at <= now - _MINUTE:
        setattr(request, _NOTE, (token_id, now))


def _write(token_id: uuid.UUID, now: dt.datetime) -> None:
    is_stale = Q(last_used_at=None) | Q(last_used_at__lte=now - _MINUTE)
    try:
        AccessToken.objects.filter(is_stale, pk=token_id).update(last_used_at=now)
    except DatabaseError:  # busy or read-only: the next request writes it
        logger.info("the last use of token %s was not written", token_id)
