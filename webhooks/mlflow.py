"""MLflow's own webhooks: its names of events, and the bodies that go with them.

What MLflow 3.17 sends from `mlflow.server.handlers`. Events that MLflow does not
know are not sent in this format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from events.models import Event
from events.types import EventType
from registry.models import ModelVersion, RegisteredModel
from registry.prompts import TEXT
from registry.texts import comments_of, tags_of_version

_TAGS_OF_PROMPTS = {"mlflow.prompt.is_prompt", "_mlflow_prompt_type"}
_ALIAS = {"name": "example_model", "alias": "example_alias"}
_TAG = {"name": "example_model", "version": "1", "key": "example_key"}
# MLflow's name of an event, and the data that MLflow shows for it
EXAMPLES: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "registered_model.created": {
            "name": "example_model",
            "tags": {"example_key": "example_value"},
            "description": "An example registered model",
        },
        "model_version.created": {
            "name": "example_model",
            "version": "1",
            "source": "models:/123",
            "run_id": "abcd1234abcd5678",
            "tags": {"example_key": "example_value"},
            "description": "An example model version",
        },
        "model_version_tag.set": {**_TAG, "value": "example_value"},
        "model_version_tag.deleted": _TAG,
        "model_version_alias.created": {**_ALIAS, "version": "1"},
        "model_version_alias.deleted": _ALIAS,
        "prompt.created": {
            "name": "example_prompt",
            "tags": {"example_key": "example_value"},
            "description": "An example prompt",
        },
        "prompt_version.created": {
            "name": "example_prompt",
            "version": "1",
            "template": "Hello {{name}}!",
            "tags": {"example_key": "example_value"},
            "description": "An example prompt version",
        },
        "prompt_tag.set": {
            "name": "example_prompt",
            "key": "example_key",
            "value": "example_value",
        },
        "prompt_tag.deleted": {"name": "example_prompt", "key": "example_key"},
        "prompt_version_tag.set": {
            **_TAG,
            "name": "example_prompt",
            "value": "example_value",
        },
        "prompt_version_tag.deleted": {**_TAG, "name": "example_prompt"},
        "prompt_alias.created": {**_ALIAS, "name": "example_prompt", "version": "1"},
        "prompt_alias.deleted": {**_ALIAS, "name": "example_prompt"},
    }
)
NAMES = frozenset(EXAMPLES)

E = EventType
# Ours and the kind of its subject -> MLflow's names of it for a model and for a
# prompt. A receiver of MLflow loads a version that it hears of, so it hears of one
# when the bytes are taken.
_NAMED: dict[tuple[str, str], tuple[str, str]] = {
    (E.REGISTERED_MODEL_CREATED, "registeredmodel"): (
        "registered_model.created",
        "prompt.created",
    ),
    (E.MODEL_VERSION_READY, "modelversion"): (
        "model_version.created",
        "prompt_version.created",
    ),
    (E.TAG_SET, "modelversion"): ("model_version_tag.set", "prompt_version_tag.set"),
    (E.TAG_DELETED, "modelversion"): (
        "model_version_tag.deleted",
        "prompt_version_tag.deleted",
    ),
    # MLflow has no event for the tags of a model
    (E.TAG_SET, "registeredmodel"): ("", "prompt_tag.set"),
    (E.TAG_DELETED, "registeredmodel"): ("", "prompt_tag.deleted"),
    (E.ALIAS_SET, "registeredmodel"): (
        "model_version_alias.created",
        "prompt_alias.created",
    ),
    (E.ALIAS_DELETED, "registeredmodel"): (
        "model_version_alias.deleted",
        "prompt_alias.deleted",
    ),
}


def names_of(event_type: str) -> list[str]:
    """Return all of MLflow's names of a type of ours."""
    found = [names for (kind, _), names in _NAMED.items() if kind == event_type]
    return sorted({name for names in found for name in names if name})


def name_of(event: Event) -> str:
    """Return MLflow's name of an event, or "" when MLflow has none."""
    names = _NAMED.get((event.type, event.subject_type))
    if names is None:
        return ""
    models = RegisteredModel.recorded.filter(is_prompt=True)
    if event.subject_type == "modelversion":
        return names[models.filter(versions=event.subject_id).exists()]
    return names[models.filter(pk=event.subject_id).exists()]


def body_of(event: Event, name: str) -> dict[str, Any]:
    """Return MLflow's body of an event, its keys in MLflow's order."""
    return _body(event, name, _DATA[event.type](event))


def example_body(event: Event, name: str) -> dict[str, Any]:
    """Return the body that MLflow's own test of a webhook sends."""
    return _body(event, name, EXAMPLES[name])


def _body(event: Event, name: str, data: dict[str, Any]) -> dict[str, Any]:
    entity, _, action = name.partition(".")
    return {
        "entity": entity,
        "action": action,
        "timestamp": event.created_at.isoformat(),
        "data": data,
    }


def _model(event: Event) -> dict[str, Any]:
    found = RegisteredModel.recorded.filter(pk=event.subject_id).first()
    return {
        "name": event.subject_name,
        "tags": _plain(event.data.get("tags", {})),
        "description": found.comment if found else "",
    }


def _version(event: Event) -> dict[str, Any]:
    rows = ModelVersion.objects.select_related("model")
    version = rows.get(pk=event.subject_id)
    tags = tags_of_version(version)
    data: dict[str, Any] = {"name": _name(event), "version": str(version.number)}
    if version.model.is_prompt:
        data["template"] = tags.pop(TEXT, "")
    else:
        data |= {"source": version.source, "run_id": version.mlflow_run_id or None}
    described = comments_of(version.model, [version.number])
    return {
        **data,
        "tags": _plain(tags),
        "description": described.get(version.number) or None,
    }


def _tag(event: Event) -> dict[str, Any]:
    told = {key: event.data[key] for key in ("key", "value") if key in event.data}
    name, _, number = event.subject_name.rpartition("/")
    if event.subject_type == "modelversion":
        return {"name": name, "version": number, **told}
    return {"name": event.subject_name, **told}


def _alias(event: Event) -> dict[str, Any]:
    told = {"name": event.subject_name, "alias": event.data["alias"]}
    if event.type == E.ALIAS_SET:
        return {**told, "version": str(event.data["version"])}
    return told


def _name(event: Event) -> str:
    """Return the name of the model of a version, as it was then."""
    return event.subject_name.rpartition("/")[0]


def _plain(tags: dict[str, str]) -> dict[str, str]:
    """Return tags without those that only say that a prompt is one."""
    return {key: value for key, value in tags.items() if key not in _TAGS_OF_PROMPTS}


_DATA: dict[str, Callable[[Event], dict[str, Any]]] = {
    E.REGISTERED_MODEL_CREATED: _model,
    E.MODEL_VERSION_READY: _version,
    E.TAG_SET: _tag,
    E.TAG_DELETED: _tag,
    E.ALIAS_SET: _alias,
    E.ALIAS_DELETED: _alias,
}
