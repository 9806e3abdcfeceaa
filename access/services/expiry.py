"""Grants whose time is over: they stopped counting then, and are taken away here."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from access.privileges import Privilege
from access.securables import kinds_of_securables
from events.services import emit
from events.types import EventType

_AT_ONCE = 100


def expire_grants() -> int:
    """Remove the grants whose time is over, each with one event; return how many.

    A check never counted them from that instant on, whether this ran or not.
    """
    return sum(_expire(kind) for kind in kinds_of_securables())


def _expire(kind: Any) -> int:
    table = kind._meta.get_field("grants").related_model
    ended = table.objects.filter(expires_at__lte=timezone.now())
    due = ended.order_by("expires_at").values_list("pk", flat=True)[:_AT_ONCE]
    return sum(_expire_one(table, pk) for pk in list(due))


@transaction.atomic
def _expire_one(table: Any, pk: int) -> int:
    """Remove one grant and say so, unless another did, or it was prolonged."""
    ended = table.objects.filter(pk=pk, expires_at__lte=timezone.now())
    grant = ended.select_related("user", "permission", "content_object").first()
    if grant is None or not ended.delete()[0]:
        return 0
    emit(
        EventType.GRANT_EXPIRED,
        grant.content_object,
        principal=None,
        privilege=Privilege(grant.permission.codename).label,
        of=grant.user.username,
        expires_at=grant.expires_at,
    )
    return 1
