"""Who may query an endpoint: the authorization rule for QUERY, read backwards.

Envoy needs the list of holders, where `access.authz` answers for one principal.
A test holds the two against each other on random grants.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db.models import Model

from access.models import PrincipalKind, User
from access.privileges import Privilege
from access.securables import live
from access.services import members_of
from registry.models import Catalog, Schema
from serving.models import Endpoint

_PRIVILEGES = (Privilege.QUERY, Privilege.ALL_PRIVILEGES)

Holders = dict[uuid.UUID, set[uuid.UUID]]


def subjects_of(endpoints: Iterable[Endpoint]) -> dict[uuid.UUID, frozenset[str]]:
    """Return the ids of the users and services that may query, for each endpoint.

    Five queries, whatever the number of endpoints, which come with their schema.
    A principal that is switched off is nobody; a group is all that are in it.
    """
    direct, by_schema, by_catalog = map(_holders, (Endpoint, Schema, Catalog))
    held = {
        endpoint.pk: direct[endpoint.pk]
        | by_schema[endpoint.schema_id]
        | by_catalog[endpoint.schema.catalog_id]
        | {endpoint.owner_id}
        for endpoint in endpoints
    }
    granted: set[uuid.UUID] = set().union(*held.values())
    inside = members_of(granted)
    callers = _active(granted.union(*inside.values()))
    return {
        endpoint: frozenset(map(str, callers & _with_members(holders, inside)))
        for endpoint, holders in held.items()
    }


def _with_members(holders: set[uuid.UUID], inside: Holders) -> set[uuid.UUID]:
    return holders.union(*(inside.get(holder, set()) for holder in holders))


def _active(principals: set[uuid.UUID]) -> set[uuid.UUID]:
    rows = User.objects.filter(pk__in=principals, is_active=True)
    return set(rows.exclude(kind=PrincipalKind.GROUP).values_list("pk", flat=True))


def _holders(kind: type[Model]) -> Holders:
    """Return which principals were granted QUERY on each securable of a kind."""
    grants: Any = kind._meta.get_field("grants").related_model
    rows = grants.objects.filter(live(), permission__codename__in=_PRIVILEGES)
    holders: Holders = defaultdict(set)
    for securable_id, user_id in rows.values_list("content_object_id", "user_id"):
        holders[securable_id].add(user_id)
    return holders
