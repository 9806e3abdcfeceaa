"""Who loads a version: counted by the hour, told to auditors once a day."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Max, Min, Sum
from django.utils import timezone

from access.facts import db_uuid
from access.models import User
from access.ways import require_able
from core.callers import current_user_agent
from core.prepared import Prepared
from events.models import Event
from events.seals import record_read
from events.services import emit
from events.types import EventType
from registry.models import ClientKind, ModelVersion, VersionLoad

# every load reads it, once
_COUNTED = "MLmodel"
_MOST_CONSUMERS = 1000
_KEY = ("version", "principal", "client", "hour")
_OF_HOUR = Prepared[VersionLoad](
    lambda version_id, principal_id, client, hour: VersionLoad.objects.filter(
        version_id=version_id, principal_id=principal_id, client=client, hour=hour
    ),
    uuid.UUID,
    uuid.UUID,
    str,
    dt.datetime,
)
_HELD = Prepared[ModelVersion](
    lambda pk: ModelVersion.objects.select_for_update().only("pk").filter(pk=pk),
    uuid.UUID,
)
_BEGIN = """
    INSERT INTO registry_versionload
        (version_id, principal_id, client, hour, count, first_at, last_at)
    VALUES (%(version_id)s, %(principal_id)s, %(client)s, %(hour)s, %(count)s, %(at)s,
        %(at)s)
    ON CONFLICT (version_id, principal_id, client, hour) DO NOTHING
"""
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
    load = VersionLoad(
        version=version,
        principal=principal,
        client=client_kind(current_user_agent()),
        hour=now.replace(minute=0, second=0, microsecond=0),
        count=int(file == _COUNTED),
        first_at=now,
        last_at=now,
    )
    if load.count:
        rows = VersionLoad.objects.filter(**_key(load))
        known = bool(rows.update(count=F("count") + 1, last_at=now))
    else:
        key = (version.pk, principal.pk, load.client, load.hour)
        known = _OF_HOUR.first(*key) is not None
    if not known:
        _first_of_hour(load)


def client_kind(user_agent: str) -> ClientKind:
    """Tell what kind of program calls itself so."""
    kinds = (kind for words, kind in _KINDS.items() if words in user_agent)
    return next(kinds, ClientKind.OTHER)


@transaction.atomic
def _first_of_hour(load: VersionLoad) -> None:
    """Begin the row of an hour; of several at once, the one that did tells of it."""
    if not _begun(load):
        rows = VersionLoad.objects.filter(**_key(load))
        rows.update(count=F("count") + load.count)
        return
    version, principal = load.version, load.principal
    event_id = uuid.uuid5(version.pk, f"{principal.pk} {load.hour:%Y-%m-%d}")
    # of two first hours or clients at a time the second waits here for the event
    _HELD.first(version.pk)
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


def _begun(load: VersionLoad) -> bool:
    """Insert a row, or wait for whoever is just inserting it; tell whether we did."""
    values = {
        "version_id": db_uuid(load.version_id),
        "principal_id": db_uuid(load.principal_id),
        "client": load.client,
        "hour": connection.ops.adapt_datetimefield_value(load.hour),
        "count": load.count,
        "at": connection.ops.adapt_datetimefield_value(load.first_at),
    }
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, values)
        return bool(cursor.rowcount)


def _key(load: VersionLoad) -> dict[str, Any]:
    return {name: getattr(load, name) for name in _KEY}


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
