"""Versions: registered by the owner alone, immutable once READY."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from access.models import User
from core.errors import Conflict, DomainError, NotFound
from core.prepared import Prepared
from core.states import transition
from events.models import Event
from events.services import draft, emit, emit_drafts
from events.types import EventType
from registry import artifacts, prompts
from registry.artifacts.copying import Beat
from registry.mlflow_rows import change_version
from registry.models import ModelVersion, RegisteredModel, VersionStatus

logger = logging.getLogger(__name__)

# Well below the five minutes for which MLflow's client waits for a PENDING version.
LEASE = dt.timedelta(seconds=60)
_REPORT_SECONDS = 1.0
# storage that cannot be read for so long does not come back
_GIVE_UP_AFTER = dt.timedelta(hours=24)


_BY_NUMBER = Prepared[ModelVersion](
    lambda model_id, number: ModelVersion.objects.select_related(
        "created_by__owner", "on_behalf_of"
    ).filter(model_id=model_id, number=number),
    UUID,
    int,
)


def get_version(model: RegisteredModel, number: int) -> ModelVersion:
    """Return a version of a model by number. Raises NotFound."""
    found = _BY_NUMBER.first(model.pk, number)
    if found is None:
        raise NotFound(f"{model.full_name} has no version {number}.")
    found.model = model
    return found


def versions_of(model: RegisteredModel) -> QuerySet[ModelVersion]:
    """Return the versions of a model that there are, the newest first, without files."""
    present = ModelVersion.objects.exclude(status=VersionStatus.DELETED)
    rows = present.filter(model=model).defer("manifest", "lineage")
    return rows.select_related("model", "created_by").order_by("-number")


def finish_prompt_version(version: ModelVersion, tags: dict[str, str]) -> ModelVersion:
    """Let a PENDING version of a prompt be READY: its text is in its tags."""
    return _become_ready(
        version,
        digest=prompts.digest_of(tags),
        size_bytes=len(tags[prompts.TEXT].encode()),
    )


def hold_version(version: ModelVersion) -> None:
    """Keep a version from being deleted to the end of the transaction.

    Raises Conflict unless it is READY.
    """
    rows = ModelVersion.objects.select_for_update(of=("self",)).filter(pk=version.pk)
    if not rows.filter(status=VersionStatus.READY).values("pk").first():
        raise Conflict(f"{version.full_name} is not ready, or was deleted.")


def take_bytes(
    version: ModelVersion, *, watch: Beat = artifacts.unwatched
) -> ModelVersion:
    """Copy the bytes of a PENDING version into the governed store: READY or FAILED.

    A repeat copies anew, and of two takers the first one's word stands. Raises
    OSError when the storage cannot be read or written: the version stays PENDING.
    """
    try:
        taken = artifacts.take(version, beat=_reporter(version, watch))
    except DomainError as error:
        return fail_version(version, error.message)
    try:
        return _become_ready(version, **facts_of_bytes(taken))
    except Conflict:
        taken.discard()
        version.refresh_from_db()
        return version


def take_pending_bytes(version: ModelVersion) -> None:
    """Take the bytes of a claimed version; storage that is away is tried again."""
    try:
        take_bytes(version)
    except OSError as error:
        logger.warning(
            "bytes could not be taken",
            extra={"full_name": version.full_name, "error": str(error)},
        )
        # what was adopted is older than its registration here
        is_adopted = "adopted_from" in version.lineage
        if not is_adopted and timezone.now() - version.created_at > _GIVE_UP_AFTER:
            fail_version(version, f"The storage could not be read or written: {error}.")


def _reporter(version: ModelVersion, watch: Beat) -> Beat:
    """Return a function that writes progress to the row and so keeps the lease."""
    reported = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal reported
        watch(done, total)
        if time.monotonic() - reported > _REPORT_SECONDS:
            reported = time.monotonic()
            ModelVersion.objects.filter(
                pk=version.pk, status=VersionStatus.PENDING
            ).update(
                taken_bytes=done,
                size_bytes=total,
                lease_until=timezone.now() + LEASE,
            )

    return report


def facts_of_bytes(taken: artifacts.Taken) -> dict[str, Any]:
    """Return what a row says of bytes that are in the store."""
    manifest = taken.manifest
    return {
        "digest": manifest.digest,
        "manifest": manifest.files,
        "size_bytes": manifest.size_bytes,
        "taken_bytes": manifest.size_bytes,
        "storage_path": taken.path,
        "signature": taken.inspection.signature,
        "code_findings": taken.inspection.code_findings,
    }


@transaction.atomic
def _become_ready(version: ModelVersion, **facts: Any) -> ModelVersion:
    transition(version, VersionStatus.READY, ready_at=timezone.now(), **facts)
    change_version(version.model.full_name, version.number, status="READY")
    emit_drafts([became_ready(version)])
    return version


def became_ready(version: ModelVersion) -> Event:
    """Return the event that tells of a version that is READY, for `emit_drafts`."""
    return draft(
        EventType.MODEL_VERSION_READY,
        version,
        principal=version.created_by,
        version=version.number,
        digest=version.digest,
        size_bytes=version.size_bytes,
    )


@transaction.atomic
def fail_version(version: ModelVersion, message: str) -> ModelVersion:
    """Let a PENDING version be FAILED, with the reason that the client shows."""
    transition(version, VersionStatus.FAILED, status_message=message)
    change_version(
        version.model.full_name,
        version.number,
        status="FAILED_REGISTRATION",
        status_message=message[:500],
    )
    emit(
        EventType.MODEL_VERSION_FAILED,
        version,
        principal=version.created_by,
        version=version.number,
        message=message,
    )
    return version


def claim_pending() -> Iterator[ModelVersion]:
    """Yield the PENDING versions whose taker is gone, each claimed for the caller.

    Claimed one by one: to take the bytes of one may last longer than a lease.
    """
    gone = Q(status=VersionStatus.PENDING, lease_until__lt=timezone.now())
    for version in ModelVersion.objects.filter(gone).select_related("model"):
        same = ModelVersion.objects.filter(gone, pk=version.pk)
        if same.update(lease_until=timezone.now() + LEASE):
            yield version


@transaction.atomic
def report_tampering(
    version: ModelVersion, problems: list[str], *, principal: User | None = None
) -> None:
    """Flag a version whose stored bytes are not its manifest's; it loads no more."""
    fresh = ModelVersion.objects.filter(pk=version.pk, tampered_at=None)
    if fresh.update(tampered_at=timezone.now()):
        version.refresh_from_db(fields=["tampered_at"])
        emit(
            EventType.MODEL_VERSION_TAMPERED,
            version,
            principal=principal,
            version=version.number,
            digest=version.digest,
            problems=problems,
        )
