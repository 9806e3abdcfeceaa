"""Versions: registered by the owner alone, immutable once READY."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from mlflow.entities.model_registry import ModelVersionTag

from access.models import User
from core.errors import Conflict, DomainError, InvalidParameter, NotFound
from core.states import transition
from events.services import emit
from events.types import EventType
from registry import artifacts, prompts, sources
from registry.artifacts.copying import Beat
from registry.models import ModelVersion, RegisteredModel, VersionStatus
from registry.names import MAX_DESCRIPTION, check_length
from registry.services.models import lock_model, require_registering
from registry.services.replays import find_answered
from registry.store import store

logger = logging.getLogger(__name__)

# Well below the five minutes for which MLflow's client waits for a PENDING version.
_LEASE = dt.timedelta(seconds=60)
_REPORT_SECONDS = 1.0
# storage that cannot be read for so long does not come back
_GIVE_UP_AFTER = dt.timedelta(hours=24)


def get_version(model: RegisteredModel, number: int) -> ModelVersion:
    """Return a version of a model by number. Raises NotFound."""
    rows = ModelVersion.objects.select_related("created_by__owner", "on_behalf_of")
    found = rows.filter(model=model, number=number).first()
    if found is None:
        raise NotFound(f"{model.full_name} has no version {number}.")
    found.model = model
    return found


def versions_of(model: RegisteredModel) -> QuerySet[ModelVersion]:
    """Return the versions of a model that there are, the newest first, without files."""
    present = ModelVersion.objects.exclude(status=VersionStatus.DELETED)
    rows = present.filter(model=model).defer("manifest", "lineage")
    return rows.select_related("model", "created_by").order_by("-number")


def create_version(
    model: RegisteredModel,
    source: str,
    *,
    run_id: str = "",
    logged_model_id: str = "",
    run_link: str = "",
    description: str = "",
    tags: dict[str, str] | None = None,
    request_digest: str = "",
    principal: User,
) -> ModelVersion:
    """Register a version from a source URI and take its bytes (rule P-10).

    The row is committed as PENDING before the bytes are copied: a process that
    dies in between loses nothing, the sweep goes on from the row. MLflow's client
    sends again what was cut off: the same `request_digest` of the same caller is
    answered with the same version, see `expect_new_version`. Many bytes are taken
    by a worker, so that no request lasts for minutes.
    """
    require_registering(model, principal)
    _check_words(description, run_link)
    prompts.check_new_version(model, source, tags or {})
    mlflow = {"run_link": run_link or None, "description": description, "tags": tags}
    if model.is_prompt:
        return _create_prompt_version(model, source, request_digest, mlflow, principal)
    resolved = sources.resolve(source, principal=principal)
    sources.check_claims(resolved, run_id, logged_model_id, principal=principal)
    fields: dict[str, Any] = {
        "mlflow_run_id": resolved.mlflow_run_id or run_id,
        "copied_from": resolved.copied_from,
        "logged_model_id": resolved.logged_model_id or logged_model_id,
        "lineage": resolved.lineage,
        "request_digest": request_digest,
    }
    with transaction.atomic():
        lock_model(model)
        if answered := find_answered(model, request_digest, principal=principal):
            return answered
        place = resolved.tree.location
        version = _insert(model, resolved.uri, place, fields, mlflow, principal)
    return _take_now(version)


def create_version_from_directory(
    model: RegisteredModel,
    directory: Path,
    *,
    mlflow_run_id: str = "",
    description: str = "",
    tags: dict[str, str] | None = None,
    lineage: dict[str, Any] | None = None,
    on_behalf_of: User | None = None,
    principal: User,
) -> ModelVersion:
    """Register a version from a directory that a training run has written.

    With `lineage["run_id"]` the database lets a run register only once.
    """
    require_registering(model, principal)
    prompts.check_new_version(model, "", tags or {})
    run_id = (lineage or {}).get("run_id")
    fields = {
        "mlflow_run_id": mlflow_run_id,
        "pipeline_run_id": run_id,
        "lineage": lineage or {},
        "on_behalf_of": on_behalf_of,
    }
    uri = f"greenlight-run:{run_id or directory.name}"
    mlflow = {"description": description, "tags": tags}
    version = _insert(model, uri, str(directory), fields, mlflow, principal)
    return take_bytes(version)


def _check_words(description: str, run_link: str) -> None:
    check_length(description, "description", MAX_DESCRIPTION)
    check_length(run_link, "run_link", 500)
    if run_link and urlsplit(run_link).scheme not in {"http", "https"}:
        raise InvalidParameter("run_link must begin with http:// or https://.")


@transaction.atomic
def _create_prompt_version(
    model: RegisteredModel,
    source: str,
    request_digest: str,
    mlflow: dict[str, Any],
    principal: User,
) -> ModelVersion:
    """Insert a version of a prompt, READY at once: it has no files."""
    tags: dict[str, str] = mlflow["tags"]
    lock_model(model)
    if answered := find_answered(model, request_digest, principal=principal):
        return answered
    fields = {"mlflow_run_id": "", "request_digest": request_digest}
    version = _insert(model, source, "", fields, mlflow, principal)
    return finish_prompt_version(version, tags)


@transaction.atomic
def finish_prompt_version(version: ModelVersion, tags: dict[str, str]) -> ModelVersion:
    """Let a PENDING version of a prompt be READY: its text is in its tags."""
    return _become_ready(
        version,
        digest=prompts.digest_of(tags),
        size_bytes=len(tags[prompts.TEXT].encode()),
    )


@transaction.atomic
def _insert(
    model: RegisteredModel,
    uri: str,
    source_directory: str,
    fields: dict[str, Any],
    mlflow: dict[str, Any],
    principal: User,
) -> ModelVersion:
    model = lock_model(model)  # numbers in order
    tags = mlflow["tags"] or {}
    number = store().create_pending_version(
        model.full_name,
        uri,
        user_id=principal.username,
        after=model.numbers_after,
        run_id=fields["mlflow_run_id"] or None,
        run_link=mlflow.get("run_link"),
        description=mlflow["description"],
        tags=[ModelVersionTag(key, value) for key, value in tags.items()],
    )
    version = ModelVersion.objects.create(
        model=model,
        number=number,
        source=uri,
        source_directory=source_directory,
        created_by=principal,
        lease_until=timezone.now() + _LEASE,
        **fields,
    )
    emit(
        EventType.MODEL_VERSION_CREATED,
        version,
        principal=principal,
        version=number,
        source=uri,
        tags=tags,
    )
    return version


def _take_now(version: ModelVersion) -> ModelVersion:
    """Take the bytes within the request, or leave them to the sweep of a worker."""
    try:
        if artifacts.source_size(version) > settings.INLINE_BYTES:
            return _hand_over(version)
    except DomainError as error:
        return fail_version(version, error.message)
    return take_bytes(version)


def _hand_over(version: ModelVersion) -> ModelVersion:
    version.lease_until = timezone.now()
    ModelVersion.objects.filter(pk=version.pk).update(lease_until=version.lease_until)
    return version


def hold_version(version: ModelVersion) -> None:
    """Keep a version from being deleted to the end of the transaction.

    Raises Conflict unless it is READY.
    """
    rows = ModelVersion.objects.select_for_update(of=("self",)).filter(pk=version.pk)
    if not rows.filter(status=VersionStatus.READY).values("pk").first():
        raise Conflict(f"{version.full_name} is not ready, or was deleted.")


def _unwatched(_done: int, _total: int) -> None:
    """Nobody looks on but who reads the row."""


def take_bytes(version: ModelVersion, *, watch: Beat = _unwatched) -> ModelVersion:
    """Copy the bytes of a PENDING version into the governed store: READY or FAILED.

    A repeat copies anew, and of two takers the first one's word stands. Raises
    OSError when the storage cannot be read or written: the version stays PENDING.
    """
    try:
        taken = artifacts.take(version, beat=_reporter(version, watch))
    except DomainError as error:
        return fail_version(version, error.message)
    try:
        return _finish(version, taken)
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
                lease_until=timezone.now() + _LEASE,
            )

    return report


@transaction.atomic
def _finish(version: ModelVersion, taken: artifacts.Taken) -> ModelVersion:
    manifest = taken.manifest
    return _become_ready(
        version,
        digest=manifest.digest,
        manifest=manifest.files,
        size_bytes=manifest.size_bytes,
        taken_bytes=manifest.size_bytes,
        storage_path=taken.path,
        signature=taken.inspection.signature,
        code_findings=taken.inspection.code_findings,
    )


def _become_ready(version: ModelVersion, **facts: Any) -> ModelVersion:
    transition(version, VersionStatus.READY, ready_at=timezone.now(), **facts)
    store().change_version(version.model.full_name, version.number, status="READY")
    emit(
        EventType.MODEL_VERSION_READY,
        version,
        principal=version.created_by,
        version=version.number,
        digest=version.digest,
        size_bytes=version.size_bytes,
    )
    return version


@transaction.atomic
def fail_version(version: ModelVersion, message: str) -> ModelVersion:
    """Let a PENDING version be FAILED, with the reason that the client shows."""
    transition(version, VersionStatus.FAILED, status_message=message)
    store().change_version(
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
        if same.update(lease_until=timezone.now() + _LEASE):
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
