"""Which events belong to a webhook: by type, by scope, by what may be seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from django.apps import apps
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat

from access.authz import require
from access.models import User
from access.privileges import Privilege
from access.securables import SchemaObject, Securable, find_securable, kind_named
from access.services import require_admin
from core.errors import InvalidParameter, NotFound
from events.models import Event
from events.types import REFUSALS, EventType
from registry.models import Catalog, Experiment, RegisteredModel, Schema
from webhooks import mlflow
from webhooks.models import Format, ScopeType, Webhook, WebhookStatus

# Kinds of subjects whose names say where they are; a name of one part is a catalog's
# and one of two parts a schema's only here. All other names are chosen freely: a
# user or an experiment called `prod` must not pass for the catalog `prod`.
_OF_CONTAINERS = frozenset({"catalog", "schema", "policy", "accessrequest"})
_FREELY_NAMED = frozenset(
    {
        "user",
        "serviceprincipal",
        "accesstoken",
        "group",
        "webhook",
        "experiment",
        "metastore",
        "installation",
        "archive",
    }
)
# whose events belong to a scope of one object, besides those that name it
_SCOPE_OF_SUBJECT: dict[str, ScopeType] = {
    "registeredmodel": ScopeType.MODEL,
    "modelversion": ScopeType.MODEL,
    "approvalrequest": ScopeType.MODEL,
    "policy": ScopeType.MODEL,
    "pipeline": ScopeType.PIPELINE,
    "run": ScopeType.PIPELINE,
    "endpoint": ScopeType.ENDPOINT,
}
_NAMED_IN_DATA = (ScopeType.MODEL, ScopeType.PIPELINE, ScopeType.ENDPOINT)
# `prod.fraud.scorer/3` and `prod.fraud.scorer@Champion` belong to the model
_AFTER_NAME = re.compile(r"[/@: ]")
_CATALOG_LEVEL, _SCHEMA_LEVEL, _OBJECT_LEVEL = 1, 2, 3


def check_event_types(patterns: list[str], body_format: str) -> None:
    """Refuse a pattern that no event type matches. Raises InvalidParameter.

    In MLflow's format the names are MLflow's own.
    """
    if not patterns:
        raise InvalidParameter("event_types must name at least one, such as alias.set.")
    names = mlflow.NAMES if body_format == Format.MLFLOW else EventType.values
    for pattern in patterns:
        if not any(fnmatchcase(known, pattern) for known in names):
            known = ", ".join(sorted(names))
            raise InvalidParameter(
                f"event_types: nothing matches {pattern!r}. There are: {known}."
            )


def require_scope(principal: User, scope_type: str, scope: str) -> None:
    """Let through who may subscribe to everything below a scope.

    The installation is for admins, the rest for owners and holders of MANAGE.
    """
    if scope_type == ScopeType.INSTALLATION:
        require_admin(principal)
        if scope:
            raise InvalidParameter("scope must be empty for the installation.")
        return
    require(principal, Privilege.MANAGE, find_securable(scope_type, scope))


def managed(principal: User) -> QuerySet[Webhook]:
    """Return the webhooks that a principal may see, stop and resend from.

    One's own, and those of the scopes that one manages.
    """
    there = Webhook.objects.exclude(status=WebhookStatus.DELETED)
    if principal.is_superuser:
        return there
    own = Q(created_by=principal)
    for scope_type, names in _managed_names(principal):
        own |= Q(scope_type=scope_type, scope__in=names)
    return there.filter(own)


def _managed_names(principal: User) -> Iterator[tuple[str, QuerySet[Any]]]:
    """Yield the names of what a principal manages, by type of scope."""
    full_name = Concat("catalog__name", Value("."), "name")
    for scope_type in ScopeType:
        if scope_type == ScopeType.INSTALLATION:
            continue
        allowed = kind_named(scope_type).objects.allowed(principal, Privilege.MANAGE)
        if scope_type == ScopeType.CATALOG:
            yield scope_type, allowed.values("name")
        elif scope_type == ScopeType.SCHEMA:
            yield scope_type, allowed.values(path=full_name)
        else:
            yield scope_type, allowed.values("full_name")


def require_manager(principal: User, webhook: Webhook) -> None:
    """Let through who manages a webhook. Raises NotFound: others know of none."""
    if not managed(principal).filter(pk=webhook.pk).exists():
        raise NotFound(f"No webhook {webhook.pk} that you may see.")


def wants(webhook: Webhook, event: Event) -> bool:
    """Tell whether an event is of the types and below the scope of a webhook."""
    if event.type == EventType.WEBHOOK_PINGED:
        return event.subject_id == webhook.pk
    name = event.type
    if webhook.format == Format.MLFLOW:
        name = mlflow.name_of(event)
    if not any(fnmatchcase(name, pattern) for pattern in webhook.event_types):
        return False
    return bool(name) and _is_below(webhook, event)


def _is_below(webhook: Webhook, event: Event) -> bool:
    if webhook.scope_type == ScopeType.INSTALLATION:
        return True
    places = places_of(event)
    if webhook.scope_type in _NAMED_IN_DATA:
        return (webhook.scope_type, webhook.scope) in places
    below = f"{webhook.scope}."
    return any(
        name == webhook.scope or name.startswith(below)
        for kind, name in places
        if "." in name or kind == webhook.scope_type
    )


def follow_rename(model: RegisteredModel, old_name: str) -> None:
    """Let the webhooks of a model stay with it when it is renamed."""
    webhooks = Webhook.objects.filter(scope_type=ScopeType.MODEL, scope=old_name)
    webhooks.update(scope=model.full_name)


def places_of(event: Event) -> set[tuple[str, str]]:
    """Return the securables that an event is about: a type of scope and full name.

    The type is "" for what no scope is about, such as a dataset.
    """
    found = {
        (str(kind), _AFTER_NAME.split(name)[0])
        for kind in _NAMED_IN_DATA
        if isinstance(name := event.data.get(kind), str) and name
    }
    kind = event.subject_type
    if kind == "experiment":
        return found | _schema_of_experiment(event)
    if kind in _FREELY_NAMED:
        return set()
    name = _AFTER_NAME.split(event.subject_name)[0]
    parts = name.count(".") + 1
    if parts == _OBJECT_LEVEL:
        return found | {(str(_SCOPE_OF_SUBJECT.get(kind, "")), name)}
    if kind in _OF_CONTAINERS and parts < _OBJECT_LEVEL:
        scope = ScopeType.CATALOG if parts == _CATALOG_LEVEL else ScopeType.SCHEMA
        return found | {(str(scope), name)}
    return found


def _schema_of_experiment(event: Event) -> set[tuple[str, str]]:
    rows = Experiment.recorded.select_related("schema__catalog")
    found = rows.filter(pk=event.subject_id).first()
    if found is None or found.schema is None:
        return set()
    return {(str(ScopeType.SCHEMA), found.schema.full_name)}


def names_of(event: Event) -> set[str]:
    """Return the full names of the securables that an event is about."""
    return {name for _, name in places_of(event)}


def may_see(principal: User, event: Event) -> bool:
    """Tell whether a principal may, now, know of what an event is about.

    Admins see all. Everyone else sees an event only if every securable that it
    names, by id or by name, can be found and seen.
    """
    if not principal.is_active:
        return False
    if principal.is_superuser:
        return True
    if event.type in REFUSALS:  # who may not see what it is about could be asking
        return principal.is_auditor
    if event.subject_type == "webhook":
        return managed(principal).filter(pk=event.subject_id).exists()
    kind = _kinds().get(event.subject_type)
    if kind is not None:
        # what was deleted is still told to those who saw it
        return kind.recorded.detailed(principal).filter(pk=event.subject_id).exists()
    names = names_of(event)
    return bool(names) and all(_is_visible(principal, name) for name in names)


def _is_visible(principal: User, full_name: str) -> bool:
    """Tell whether all that bears a full name can be seen, and there is such."""
    parts = full_name.split(".")
    if len(parts) == _CATALOG_LEVEL:
        return Catalog.objects.visible(principal).filter(name=full_name).exists()
    if len(parts) == _SCHEMA_LEVEL:
        schemas = Schema.objects.visible(principal)
        return schemas.filter(catalog__name=parts[0], name=parts[1]).exists()
    if len(parts) != _OBJECT_LEVEL:
        return False
    bearers = [
        kind.objects.filter(full_name=full_name)
        for kind in _kinds().values()
        if issubclass(kind, SchemaObject)
    ]
    there = [rows for rows in bearers if rows.exists()]
    return bool(there) and all(rows.detailed(principal).exists() for rows in there)


def _kinds() -> dict[str, type[Securable]]:
    return {
        kind._meta.model_name or "": kind
        for kind in apps.get_models()
        if issubclass(kind, Securable)
    }
