"""Which events belong to a webhook: by type, by scope, by what may be seen."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from django.apps import apps
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat

from access.authz import require
from access.models import User
from access.privileges import Privilege
from access.securables import SchemaObject, Securable, find_securable
from access.services import require_admin
from core.errors import InvalidParameter, NotFound
from events.models import Event
from events.types import EventType
from registry.models import Catalog, RegisteredModel, Schema
from webhooks.models import ScopeType, Webhook

# What stands above the catalogs. Its names are chosen freely, so a user called
# `prod` must not pass for the catalog `prod`.
_ABOVE_CATALOGS = frozenset(
    {"user", "serviceprincipal", "accesstoken", "group", "webhook"}
)
# `prod.fraud.scorer/3` and `prod.fraud.scorer@Champion` belong to the model
_AFTER_NAME = re.compile(r"[/@: ]")
_CATALOG_LEVEL, _SCHEMA_LEVEL, _OBJECT_LEVEL = 1, 2, 3


def check_event_types(patterns: list[str]) -> None:
    """Refuse a pattern that no event type matches. Raises InvalidParameter."""
    if not patterns:
        raise InvalidParameter("event_types must name at least one, such as alias.set.")
    for pattern in patterns:
        if not any(fnmatchcase(known, pattern) for known in EventType.values):
            known = ", ".join(sorted(EventType.values))
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
    if principal.is_superuser:
        return Webhook.objects.all()
    full_name = Concat("catalog__name", Value("."), "name")
    manage = Privilege.MANAGE
    catalogs = Catalog.objects.allowed(principal, manage).values("name")
    schemas = Schema.objects.allowed(principal, manage).values(path=full_name)
    models = RegisteredModel.objects.allowed(principal, manage).values("full_name")
    return Webhook.objects.filter(
        Q(created_by=principal)
        | Q(scope_type=ScopeType.CATALOG, scope__in=catalogs)
        | Q(scope_type=ScopeType.SCHEMA, scope__in=schemas)
        | Q(scope_type=ScopeType.MODEL, scope__in=models)
    )


def require_manager(principal: User, webhook: Webhook) -> None:
    """Let through who manages a webhook. Raises NotFound: others know of none."""
    if not managed(principal).filter(pk=webhook.pk).exists():
        raise NotFound(f"No webhook {webhook.pk} that you may see.")


def wants(webhook: Webhook, event: Event) -> bool:
    """Tell whether an event is of the types and below the scope of a webhook."""
    if not any(fnmatchcase(event.type, pattern) for pattern in webhook.event_types):
        return False
    if webhook.scope_type == ScopeType.INSTALLATION:
        return True
    names = names_of(event)
    below = f"{webhook.scope}."
    return any(name == webhook.scope or name.startswith(below) for name in names)


def follow_rename(model: RegisteredModel, old_name: str) -> None:
    """Let the webhooks of a model stay with it when it is renamed."""
    webhooks = Webhook.objects.filter(scope_type=ScopeType.MODEL, scope=old_name)
    webhooks.update(scope=model.full_name)


def names_of(event: Event) -> set[str]:
    """Return the full names of the securables that an event is about."""
    if event.subject_type in _ABOVE_CATALOGS:
        return set()
    told = [event.subject_name, event.data.get("model")]
    return {
        _AFTER_NAME.split(name)[0] for name in told if isinstance(name, str) and name
    }


def may_see(principal: User, event: Event) -> bool:
    """Tell whether a principal may, now, know of what an event is about.

    Admins see all. Everyone else sees an event only if every securable that it
    names, by id or by name, can be found and seen.
    """
    if not principal.is_active:
        return False
    if principal.is_superuser:
        return True
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
