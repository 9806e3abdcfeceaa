"""How often a caller may decide, or knock with a callback, in a minute.

The count is a row that every process shares, so the limit holds for all of them
together. One statement counts; who is over the limit writes nothing any more.
"""

from __future__ import annotations

import time

from django.conf import settings
from django.db import connection
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from access.authentication import caller
from approvals.models import Knock
from core.callers import address_of
from core.errors import TooManyAttempts

_COUNT = """
INSERT INTO approvals_knock (key, minute, tries) VALUES (%s, %s, 1)
ON CONFLICT (key) DO UPDATE SET
  tries = CASE WHEN approvals_knock.minute = excluded.minute
    THEN approvals_knock.tries + 1 ELSE 1 END,
  minute = excluded.minute
WHERE approvals_knock.minute <> excluded.minute OR approvals_knock.tries < %s
RETURNING tries
"""


def require_seldom(key: str, most: int) -> None:
    """Count a try; refuse the one after `most` in this minute, 0 being no limit.

    Raises TooManyAttempts, which says when to come back.
    """
    if not most:
        return
    now = int(time.time())
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [key, now // 60, most])
        if cursor.fetchone():
            return
    wait = 60 - now % 60
    raise TooManyAttempts(
        f"More than {most} tries in a minute. Wait {wait} seconds and try again.",
        retry_after_seconds=wait,
    )


def forget() -> None:
    """Remove the counts of minutes that are over (a keeper's sweep)."""
    Knock.objects.filter(minute__lt=int(time.time()) // 60).delete()


class CallbackLimit(BaseThrottle):
    """Callbacks, by the address they come from: nobody knows who else it is."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        address = address_of(request._request)
        require_seldom(f"callback {address}", settings.CALLBACKS_PER_MINUTE)
        return True


class DecisionLimit(BaseThrottle):
    """Decisions and reports of checks, by the principal that gives them."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.method == "POST":
            key = f"decision {caller(request).pk}"
            require_seldom(key, settings.DECISIONS_PER_MINUTE)
        return True
