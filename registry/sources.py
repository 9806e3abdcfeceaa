"""Where a version may be registered from, resolved and authorized.

Only canonical sources are taken: a URI with a foreign authority would make a
client send its token there, and this server fetch for a stranger.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.db import connection

from access.authz import require
from access.models import User
from access.privileges import Privilege
from core.errors import Conflict, InvalidParameter, NotFound
from registry import artifacts
from registry.artifacts import Tree
from registry.experiments import require_experiment, require_run
from registry.models import Alias, ModelVersion, VersionStatus
from registry.services.models import get_model

_LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})")
_VERSION = re.compile(r"models:/([^/@]+)/([0-9]{1,9})")
_ALIAS = re.compile(r"models:/([^/@]+)@([^/@]+)")
_RUN = re.compile(r"runs:/([0-9a-f]{32})/(.+)")
# what MLflow 2 sends, and MLflow 3 for the files of a run, in place of the above
_RUN_FILES = re.compile(r"mlflow-artifacts:/\d+/([0-9a-f]{32})/artifacts/(.+)")
_LOGGED_FILES = re.compile(r"mlflow-artifacts:/\d+/models/(m-[0-9a-f]{32})/artifacts/?")
_RUN_ROW = "SELECT artifact_uri FROM runs WHERE run_uuid = %s"
_LOGGED_MODEL_ROW = (
    "SELECT experiment_id, artifact_location, source_run_id FROM logged_models"
    " WHERE model_id = %s AND lifecycle_stage <> 'deleted'"
)
_ALLOWED = (
    "Register from models:/m-<id>, models:/catalog.schema.model/<version>, "
    "models:/catalog.schema.model@<alias> or runs:/<run id>/<path>."
)


@dataclass(frozen=True)
class Source:
    """A source that the principal may read, and where its files are."""

    uri: str
    tree: Tree
    mlflow_run_id: str = ""
    logged_model_id: str = ""
    copied_from: ModelVersion | None = None
    lineage: dict[str, Any] = field(default_factory=dict)


def resolve(uri: str, *, principal: User) -> Source:
    """Return the files behind a source URI.

    Raises InvalidParameter for any other kind of URI, NotFound for what the
    principal may not read.
    """
    if match := _LOGGED_MODEL.fullmatch(uri) or _LOGGED_FILES.fullmatch(uri):
        return _logged_model(match[1], principal)
    if match := _VERSION.fullmatch(uri):
        return _version(match[1], {"number": int(match[2])}, principal)
    if match := _ALIAS.fullmatch(uri):
        number = _number_of_alias(match[1], match[2], principal)
        return _version(match[1], {"number": number}, principal)
    if match := _RUN.fullmatch(uri) or _RUN_FILES.fullmatch(uri):
        return _run(match[1], match[2].rstrip("/"), principal)
    raise InvalidParameter(f"source {uri[:200]!r} is not accepted. {_ALLOWED}")


def check_claims(
    source: Source, run_id: str, logged_model_id: str, *, principal: User
) -> None:
    """Refuse a run or a logged model that is not the source's, or not readable.

    Raises InvalidParameter for the first, NotFound for the second.
    """
    if logged_model_id and logged_model_id != source.logged_model_id:
        if source.logged_model_id:
            raise InvalidParameter(
                f"model_id {logged_model_id[:64]!r} is not the source's; leave it out."
            )
        claimed = _logged_model(logged_model_id, principal)
        if claimed.mlflow_run_id != source.mlflow_run_id:
            raise InvalidParameter(f"model_id {logged_model_id} is of another run.")
    if run_id and run_id != source.mlflow_run_id:
        if source.mlflow_run_id:
            raise InvalidParameter(
                f"run_id {run_id[:64]!r} is not the source's; leave it out."
            )
        require_run(run_id, principal=principal)


def tracking_tree(artifact_uri: str) -> Tree:
    """Return the tree behind an `mlflow-artifacts:/` URI of our own.

    Raises InvalidParameter when it leaves the tracking directory.
    """
    parts = urlsplit(artifact_uri)
    if parts.scheme != "mlflow-artifacts" or parts.netloc:
        raise InvalidParameter(f"{artifact_uri!r} is not stored here. {_ALLOWED}")
    return artifacts.tracking().child(parts.path.lstrip("/"))


def _logged_model(logged_model_id: str, principal: User) -> Source:
    found = _one(_LOGGED_MODEL_ROW, logged_model_id)
    if found is None:
        raise NotFound(f"No logged model {logged_model_id} of yours.")
    experiment_id, location, run_id = found
    require_experiment(str(experiment_id), principal=principal)
    return Source(
        f"models:/{logged_model_id}",
        tracking_tree(location),
        mlflow_run_id=run_id or "",
        logged_model_id=logged_model_id,
    )


def _run(run_id: str, path: str, principal: User) -> Source:
    require_run(run_id, principal=principal)
    (uri,) = _one(_RUN_ROW, run_id) or ("",)
    root = tracking_tree(uri)
    return Source(f"runs:/{run_id}/{path}", root.child(path), mlflow_run_id=run_id)


def _one(statement: str, key: str) -> Any:
    """Read a row of MLflow's, without the metrics and tags that its store adds."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [key])
        return cursor.fetchone()


def _number_of_alias(full_name: str, alias: str, principal: User) -> int:
    model = get_model(full_name)
    require(principal, Privilege.EXECUTE, model)
    found = Alias.objects.filter(model=model, name__iexact=alias).first()
    if found is None or found.version is None:
        raise NotFound(f"{full_name} has no alias {alias}.")
    return found.version.number


def _version(full_name: str, which: dict[str, int], principal: User) -> Source:
    model = get_model(full_name)
    require(principal, Privilege.EXECUTE, model)
    if model.is_prompt:
        raise InvalidParameter(f"source: {full_name} is a prompt, not a model.")
    version = ModelVersion.objects.filter(model=model, **which).first()
    if version is None or version.status == VersionStatus.DELETED:
        raise NotFound(f"{full_name} has no version {which['number']}.")
    if version.status != VersionStatus.READY:
        raise Conflict(f"{version.full_name} is {version.status}, not ready.")
    if version.tampered_at:
        raise Conflict(f"The bytes of {version.full_name} were changed; copy another.")
    return Source(
        f"models:/{version.full_name}",
        artifacts.stored(version),
        mlflow_run_id=version.mlflow_run_id,
        logged_model_id=version.logged_model_id,
        copied_from=version,
        lineage={"copied_from": version.full_name, "digest": version.digest},
    )
