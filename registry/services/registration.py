"""Register versions: from a source that a caller names, or that a run has written.

A small model is copied, hashed and checked first, and then comes in at once: READY,
with both of its events, in one transaction. A process that dies before that has
acknowledged nothing, and leaves no row. A large one is PENDING, in a transaction of
its own, while its bytes are taken: a sweep goes on from the row.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from access.models import User
from core.errors import DomainError, InvalidParameter
from core.states import begin
from events.models import Event
from events.services import draft, emit_drafts
from events.types import EventType
from registry import artifacts, mlflow_rows, prompts, sources
from registry.models import ModelVersion, RegisteredModel, VersionStatus
from registry.names import MAX_DESCRIPTION, check_length
from registry.services.models import lock_model, require_registering
from registry.services.replays import find_answered
from registry.services.versions import (
    LEASE,
    became_ready,
    facts_of_bytes,
    fail_version,
    take_bytes,
)

# Up to so many bytes are copied before there is a row: that is a blink of an eye, and
# a caller who sends the request again in it costs a copy too many, no more.
_AT_ONCE_BYTES = 2**24


@dataclass(frozen=True)
class _Words:
    """What MLflow's row holds of a version, and ours does not."""

    description: str = ""
    run_link: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


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

    MLflow's client sends again what was cut off: the same `request_digest` of the
    same caller is answered with the same version, see `expect_new_version`. Many
    bytes are taken by a worker, so that no request lasts for minutes.
    """
    require_registering(model, principal)
    _check_words(description, run_link)
    prompts.check_new_version(model, source, tags or {})
    words = _Words(description, run_link, tags or {})
    new = ModelVersion(model=model, created_by=principal, request_digest=request_digest)
    if model.is_prompt:
        new.source = source
        text = words.tags[prompts.TEXT].encode()
        facts = {"digest": prompts.digest_of(words.tags), "size_bytes": len(text)}
        return _insert_ready(new, words, facts)
    resolved = sources.resolve(source, principal=principal)
    sources.check_claims(resolved, run_id, logged_model_id, principal=principal)
    new.source, new.source_directory = resolved.uri, resolved.tree.location
    new.mlflow_run_id = resolved.mlflow_run_id or run_id
    new.logged_model_id = resolved.logged_model_id or logged_model_id
    new.copied_from, new.lineage = resolved.copied_from, resolved.lineage
    return _register(new, words, settings.INLINE_BYTES)


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
    """Register a version from a directory that a training run has written, now.

    With `lineage["run_id"]` the database lets a run register only once.
    """
    require_registering(model, principal)
    prompts.check_new_version(model, "", tags or {})
    run_id = (lineage or {}).get("run_id")
    new = ModelVersion(
        model=model,
        created_by=principal,
        source=f"greenlight-run:{run_id or directory.name}",
        source_directory=str(directory),
        mlflow_run_id=mlflow_run_id,
        pipeline_run_id=run_id,
        lineage=lineage or {},
        on_behalf_of=on_behalf_of,
    )
    return _register(new, _Words(description, tags=tags or {}), math.inf)


def _check_words(description: str, run_link: str) -> None:
    check_length(description, "description", MAX_DESCRIPTION)
    check_length(run_link, "run_link", 500)
    if run_link and urlsplit(run_link).scheme not in {"http", "https"}:
        raise InvalidParameter("run_link must begin with http:// or https://.")


def _register(new: ModelVersion, words: _Words, most_inline: float) -> ModelVersion:
    """Bring a new version in: READY, PENDING when it is large, or FAILED."""
    try:
        size = artifacts.source_size(new)
        if size > min(_AT_ONCE_BYTES, most_inline):
            return _register_in_two_steps(new, words, is_left=size > most_inline)
        taken = artifacts.take(new)
    except DomainError as error:
        return _insert_failed(new, words, error.message)
    except OSError:  # storage that is away: the row stays for the sweep
        return _register_in_two_steps(new, words, is_left=False)
    try:
        version = _insert_ready(new, words, facts_of_bytes(taken))
    except BaseException:
        taken.discard()
        raise
    if version is not new:
        taken.discard()
    return version


def _register_in_two_steps(
    new: ModelVersion, words: _Words, *, is_left: bool
) -> ModelVersion:
    """Commit the row, then take the bytes, or leave them to the sweep of a worker."""
    new.lease_until = timezone.now() + (dt.timedelta() if is_left else LEASE)
    version = _insert_pending(new, words)
    return take_bytes(version) if version is new and not is_left else version


@transaction.atomic
def _insert_pending(new: ModelVersion, words: _Words) -> ModelVersion:
    """Insert a PENDING version, or return the one that the request has made before."""
    if answered := _hold_and_find(new):
        return answered
    _insert(new, words, "PENDING_REGISTRATION")
    emit_drafts([_created(new, words)])
    return new


@transaction.atomic
def _insert_ready(
    new: ModelVersion, words: _Words, facts: dict[str, Any]
) -> ModelVersion:
    """Insert a version whose bytes were taken, or return the one made before."""
    if answered := _hold_and_find(new):
        return answered
    begin(new, VersionStatus.READY, ready_at=timezone.now(), **facts)
    _insert(new, words, "READY")
    emit_drafts([_created(new, words), became_ready(new)])
    return new


@transaction.atomic
def _insert_failed(new: ModelVersion, words: _Words, message: str) -> ModelVersion:
    version = _insert_pending(new, words)
    return fail_version(version, message) if version is new else version


def _hold_and_find(new: ModelVersion) -> ModelVersion | None:
    """Hold the model, so that numbers come in order; find what was answered before."""
    new.model = lock_model(new.model)
    return find_answered(new.model, new.request_digest, principal=new.created_by)


def _insert(new: ModelVersion, words: _Words, mlflow_status: str) -> None:
    new.number = mlflow_rows.insert_version(
        new.model.full_name,
        new.source,
        status=mlflow_status,
        user_id=new.created_by.username,
        after=new.model.numbers_after,
        run_id=new.mlflow_run_id or None,
        run_link=words.run_link or None,
        description=words.description,
        tags=words.tags,
    )
    new.save(force_insert=True)


def _created(version: ModelVersion, words: _Words) -> Event:
    return draft(
        EventType.MODEL_VERSION_CREATED,
        version,
        principal=version.created_by,
        version=version.number,
        source=version.source,
        tags=words.tags,
    )
