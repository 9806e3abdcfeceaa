"""Who loads a version: counted by the hour, told to auditors once a day."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Max, Min, Sum
from django.utils import timezone

from access.models import User
from access.ways import require_able
from core.callers import current_user_agent
from events.models import Event
from events.seals import record_read
from events.services import emit
from events.types import EventType
from registry.models import ClientKind, ModelVersion, VersionLoad

# every load reads it, once
_COUNTED = "MLmodel"
_MOST_CONSUMERS = 1000
_KINDS = {
    "mlflow-python-client/": ClientKind.MLFLOW,
    "Mozilla/": ClientKind.BROWSER,
    "databricks-sdk-": ClientKind.DATABRICKS,
}


@dataclass(frozen=True)
class Consumer:
    """A principal that read the bytes of a version with one kind of client."""

    principal: str
    client: str
    loads: int
    first_at: dt.datetime
    last_at: dt.datetime


def record_load(version: ModelVersion, file: str, *, principal: User) -> None:
    """Remember that a principal, who may, is given a file of a version.

    Every file is a leaf of the audit log. A load fetches many files and counts as
    one; after the first in an hour that costs one statement more: an UPDATE for the
    counted file, a SELECT for any other.
    """
    record_read(version, principal=principal, path=file, digest=version.digest)
    now = timezone.now()
    rows = VersionLoad.objects.filter(
        version=version,
        principal=principal,
        client=client_kind(current_user_agent()),
        hour=now.replace(minute=0, second=0, microsecond=0),
    )
    if file != _COUNTED:
        known = rows.exists()
    else:
        known = bool(rows.update(count=F("count") + 1, last_at=now))
    if not known:
        _first_of_hour(version, int(file == _COUNTED), now, principal)


def client_kind(user_agent: str) -> ClientKind:
    """Tell what kind of program calls itself so."""
    kinds = (kind for words, kind in _KINDS.items() if words in user_agent)
    return next(kinds, ClientKind.OTHER)


@transaction.atomic
def _first_of_hour(
    version: ModelVersion, count: int, now: dt.datetime, principal: User
) -> None:
    key = {
        "version": version,
        "principal": principal,
        "client": client_kind(current_user_agent()),
        "hour": now.replace(minute=0, second=0, microsecond=0),
    }
    times = {"first_at": now, "last_at": now}
    load, is_new = VersionLoad.objects.get_or_create(
        **key, defaults={**times, "count": count}
    )
    if not is_new:  # another file of the same load was first
        VersionLoad.objects.filter(pk=load.pk).update(count=F("count") + count)
    _tell_once_a_day(version, load, principal)


def _tell_once_a_day(version: ModelVersion, load: VersionLoad, principal: User) -> None:
    """Emit one event per version, principal and day, whichever file was first."""
    event_id = uuid.uuid5(version.pk, f"{principal.pk} {load.hour:%Y-%m-%d}")
    # of two first loads at a time both wait here, and the second finds the event
    ModelVersion.objects.select_for_update().only("pk").get(pk=version.pk)
    if Event.objects.filter(pk=event_id).exists():
        return
    emit(
        EventType.MODEL_VERSION_READ,
        version,
        event_id=event_id,
        principal=principal,
        version=version.number,
        digest=version.digest,
        client=load.client,
    )


def consumers_of(
    version: ModelVersion, *, since: dt.datetime | None = None, principal: User
) -> list[Consumer]:
    """Return who read the bytes of a version, the latest first (rule P-31)."""
    require_able(principal, "read_audit", version.model)
    rows = VersionLoad.objects.filter(version=version)
    if since:
        rows = rows.filter(last_at__gte=since)
    grouped = rows.values("principal__username", "client").annotate(
        loads=Sum("count"), first=Min("first_at"), last=Max("last_at")
    )
    return [
        Consumer(
            row["principal__username"],
            row["client"],
            row["loads"],
            row["first"],
            row["last"],
        )
        for row in grouped.order_by("-last", "principal__username")[:_MOST_CONSUMERS]
    ]
