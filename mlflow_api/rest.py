"""The registry RPCs of MLflow's REST API, as its stock client sends them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from access.authz import is_browse_only, require_details, require_visible
from access.facts import facts_kept
from access.models import User
from approvals import services as approvals
from core.errors import AlreadyExists, InvalidParameter, NotFound, PermissionDenied
from mlflow_api.messages import Message, integer, tags, text, texts
from registry import listing, prompts, reads
from registry import services as registry
from registry.listing import ModelRow, Page
from registry.models import ModelVersion, RegisteredModel, VersionStatus
from registry.reads import VersionRow
from registry.store import VERSION_FILES

_NO_STAGES = (
    "stages are not used here, aliases are. Set one with "
    "client.set_registered_model_alias(name, 'Champion', version) and load "
    "models:/catalog.schema.model@Champion."
)


def create_registered_model(principal: User, message: Message) -> Message:
    """Create a model; one that is there is told to expect a new version."""
    name = text(message, "name")
    try:
        model = registry.create_model(
            name,
            description=text(message, "description", ""),
            tags=tags(message),
            principal=principal,
        )
    except AlreadyExists:
        if found := RegisteredModel.objects.filter(full_name=name).first():
            registry.expect_new_version(found, principal=principal)
        raise
    return _model(model)


@facts_kept()
def get_registered_model(principal: User, message: Message) -> Message:
    """Answer a model; to who only browses, with nothing of its versions."""
    model = _visible_model(principal, message)
    rendered = _model(model)
    if is_browse_only(principal, model):
        for field in ("latest_versions", "aliases"):
            rendered["registered_model"].pop(field, None)
    return rendered


def update_registered_model(principal: User, message: Message) -> Message:
    model = _visible_model(principal, message)
    registry.update_model(model, text(message, "description", ""), principal=principal)
    return _model(model)


def rename_registered_model(principal: User, message: Message) -> Message:
    name, new_name = text(message, "name"), text(message, "new_name")
    if renamed := registry.find_renamed(name, new_name, principal=principal):
        require_details(principal, renamed)
        return _model(renamed)
    model = _visible_model(principal, message)
    return _model(registry.rename_model(model, new_name, principal=principal))


def delete_registered_model(principal: User, message: Message) -> Message:
    registry.delete_model(_visible_model(principal, message), principal=principal)
    return {}


def search_registered_models(principal: User, message: Message) -> Message:
    found = listing.search_models(principal, **_search(message, 100))
    return _page("registered_models", [_listed(row) for row in found.rows], found)


def get_latest_versions(principal: User, message: Message) -> Message:
    """Answer the newest READY version: without stages, all versions are in one."""
    model = _detailed_model(principal, message)
    stages = {stage.lower() for stage in texts(message, "stages")}
    if stages and "none" not in stages:
        raise InvalidParameter(f"stages: {_NO_STAGES}")
    latest = map(version_fields, listing.model_as_listed(model).latest_versions)
    return {"model_versions": list(map(_without_empty, latest))}


def set_registered_model_tag(principal: User, message: Message) -> Message:
    """Set a tag of a model; drop the one that MLflow's readers of prompts send.

    It names the experiment they work in, and must not fail for who may only read.
    """
    model = _model_to_tag(principal, message)
    key, value = text(message, "key"), text(message, "value", "")
    dropped = model.is_prompt and key == prompts.EXPERIMENTS
    if dropped and not registry.may_tag(model, principal=principal):
        return {}
    registry.set_model_tag(model, key, value, principal=principal)
    return {}


def delete_registered_model_tag(principal: User, message: Message) -> Message:
    model = _model_to_tag(principal, message)
    registry.delete_model_tag(model, text(message, "key"), principal=principal)
    return {}


@facts_kept()
def set_alias(principal: User, message: Message) -> Message:
    version = _visible_version(principal, message)
    approvals.set_alias(
        version.model, text(message, "alias"), version, principal=principal
    )
    return {}


def delete_alias(principal: User, message: Message) -> Message:
    model = _visible_model(principal, message)
    approvals.delete_alias(model, text(message, "alias"), principal=principal)
    return {}


def get_version_by_alias(principal: User, message: Message) -> Message:
    name, alias = text(message, "name"), text(message, "alias")
    return _row_json(reads.version_by_alias(name, alias, principal=principal))


@facts_kept()
def create_version(principal: User, message: Message) -> Message:
    version = registry.create_version(
        registry.get_model(text(message, "name")),
        text(message, "source"),
        run_id=text(message, "run_id", ""),
        logged_model_id=text(message, "model_id", ""),
        run_link=text(message, "run_link", ""),
        description=text(message, "description", ""),
        tags=tags(message),
        request_digest=_digest(message),
        principal=principal,
    )
    return _version(version)


def get_version(principal: User, message: Message) -> Message:
    name, number = text(message, "name"), integer(message, "version")
    return _row_json(reads.version_by_number(name, number, principal=principal))


def get_download_uri(principal: User, message: Message) -> Message:
    """Answer a virtual URI of ours: bytes belong to the version, not to the run."""
    name, number = text(message, "name"), integer(message, "version")
    row = reads.loadable_version(name, number, principal=principal)
    if _is_prompt(row):
        raise InvalidParameter(f"{name} is a prompt; it has a text and no files.")
    return {"artifact_uri": f"{VERSION_FILES}/{row.name}/{row.number}"}


def update_version(principal: User, message: Message) -> Message:
    version = _visible_version(principal, message)
    registry.update_version(
        version, text(message, "description", ""), principal=principal
    )
    return _version(version)


def transition_stage(principal: User, message: Message) -> Message:
    """Refuse: two ways to move what is live would be one way round approval."""
    _visible_version(principal, message)
    raise InvalidParameter(f"stage: {_NO_STAGES}")


def delete_version(principal: User, message: Message) -> Message:
    version = _visible_version(principal, message)
    registry.delete_version(version, principal=principal)
    return {}


def search_versions(principal: User, message: Message) -> Message:
    found = listing.search_versions(principal, **_search(message, 10_000))
    return _page("model_versions", [version_fields(row) for row in found.rows], found)


def set_version_tag(principal: User, message: Message) -> Message:
    version = _version_to_tag(principal, message)
    key, value = text(message, "key"), text(message, "value", "")
    registry.set_version_tag(version, key, value, principal=principal)
    return {}


def delete_version_tag(principal: User, message: Message) -> Message:
    version = _version_to_tag(principal, message)
    registry.delete_version_tag(version, text(message, "key"), principal=principal)
    return {}


def _visible_model(principal: User, message: Message) -> RegisteredModel:
    model = registry.get_model(text(message, "name"))
    require_visible(principal, model)
    return model


def _model_to_tag(principal: User, message: Message) -> RegisteredModel:
    """Return a model to whom may tag it, which does not need the right to see it."""
    model = registry.get_model(text(message, "name"))
    if not registry.may_tag(model, principal=principal):
        require_visible(principal, model)
    return model


def _detailed_model(principal: User, message: Message) -> RegisteredModel:
    model = registry.get_model(text(message, "name"))
    require_details(principal, model)
    return model


def _visible_version(principal: User, message: Message) -> ModelVersion:
    return _version_of(_detailed_model(principal, message), message)


def _version_to_tag(principal: User, message: Message) -> ModelVersion:
    model = registry.get_model(text(message, "name"))
    if not registry.may_tag(model, principal=principal):
        require_details(principal, model)
    return _version_of(model, message)


def _version_of(model: RegisteredModel, message: Message) -> ModelVersion:
    version = registry.get_version(model, integer(message, "version"))
    if version.status == VersionStatus.DELETED:
        raise NotFound(f"{version.full_name} was deleted.")
    return version


def _digest(message: Message) -> str:
    canonical = json.dumps(message, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _search(message: Message, default: int) -> dict[str, Any]:
    return {
        "filter_string": text(message, "filter", ""),
        "order_by": texts(message, "order_by"),
        "page_token": text(message, "page_token", ""),
        "max_results": integer(message, "max_results", default),
    }


def _page(name: str, rows: list[Message], page: Page[Any]) -> Message:
    token = page.next_page_token
    return {name: rows, **({"next_page_token": token} if token else {})}


def _listed(row: ModelRow) -> Message:
    """Render a model of a list; its lists are there even when they are empty."""
    return {
        "name": row.name,
        "user_id": row.owner,
        "description": row.description,
        "creation_timestamp": row.creation_time,
        "last_updated_timestamp": row.last_updated_time,
        "latest_versions": [version_fields(version) for version in row.latest_versions],
        "tags": row.tags,
        "aliases": [{**a, "version": str(a["version"])} for a in row.aliases],
    }


def _model(model: RegisteredModel) -> Message:
    body = _listed(listing.model_as_listed(model))
    body["latest_versions"] = list(map(_without_empty, body["latest_versions"]))
    return {"registered_model": {k: v for k, v in body.items() if v not in ("", [])}}


def _without_empty(fields: Message) -> Message:
    return {key: value for key, value in fields.items() if value != []}


def _version(version: ModelVersion) -> Message:
    return _row_json(reads.version_as_written(version))


def _is_prompt(row: VersionRow) -> bool:
    return any(tag["key"] == prompts.IS_PROMPT for tag in row.tags)


def _row_json(row: VersionRow) -> Message:
    if row.is_tampered and _is_prompt(row):
        raise PermissionDenied(
            f"The text of {row.name}/{row.number} was changed; it is read no more."
        )
    return {"model_version": _without_empty(version_fields(row))}


def version_fields(row: VersionRow) -> Message:
    """Render a version; its lists are there even when they are empty.

    A prompt's text that was changed behind our back is left out.
    """
    fields = dict(row.fields)
    body: Message = {
        "name": row.name,
        "version": str(row.number),
        "creation_timestamp": fields.pop("creation_time"),
        "last_updated_timestamp": fields.pop("last_updated_time"),
        "model_id": fields.pop("logged_model_id") or None,
        **fields,
        "run_id": fields["run_id"] or "",
        "run_link": fields["run_link"] or "",
        "tags": [
            tag
            for tag in row.tags
            if not (row.is_tampered and tag["key"] == prompts.TEXT)
        ],
        "aliases": row.aliases,
    }
    return {k: v for k, v in body.items() if v is not None}
