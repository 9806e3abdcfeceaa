"""Random worlds of principals, groups, owners and grants, as rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Permission
from django.db import transaction
from django.utils import timezone
from hypothesis import strategies as st

from access.models import Membership, PrincipalKind, User
from access.privileges import GRANTABLE
from access.securables import Securable
from registry.models import Catalog, RegisteredModel, Schema
from tests.access.oracle import World

PEOPLE = ("ann", "bob", "cy", "dee")
GROUPS = ("team", "unit", "firm")
KINDS = {"model": "registeredmodel", "schema": "schema", "catalog": "catalog"}
INTERESTING = {
    "use_catalog",
    "use_schema",
    "create_schema",
    "create_model",
    "create_model_version",
    "execute",
    "apply_tag",
    "browse",
    "manage",
    "approve",
    "all_privileges",
}
_HOLDER = st.sampled_from(PEOPLE + GROUPS)


def _privileges(level: str) -> list[str]:
    return [p.value for p in GRANTABLE[KINDS[level]] if p.value in INTERESTING]


_ONE_GRANT = st.sampled_from(list(KINDS)).flatmap(
    lambda level: st.tuples(
        st.just(level),
        st.sampled_from(_privileges(level)),
        _HOLDER,
        st.sampled_from([False, False, False, True]),
    )
)
# a group may be in a later one only: no circles
_GROUPS = st.fixed_dictionaries(
    {
        group: st.sets(st.sampled_from(PEOPLE + GROUPS[:index]), max_size=3)
        for index, group in enumerate(GROUPS)
    }
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a world; half of the grants are USE, or hardly anybody would pass."""
    use = st.sampled_from(
        [
            ("catalog", "use_catalog"),
            ("catalog", "use_schema"),
            ("schema", "use_schema"),
        ]
    ).flatmap(lambda pair: st.tuples(*map(st.just, pair), _HOLDER, st.just(False)))
    grants = draw(st.lists(use, max_size=5)) + draw(st.lists(_ONE_GRANT, max_size=6))
    return World(
        owners={level: draw(_HOLDER) for level in KINDS},
        grants=list(dict.fromkeys(grants)),
        groups=draw(_GROUPS),
        admins=draw(st.sets(st.just("dee"))),
        auditors=draw(st.sets(st.just("cy"))),
        delegated=draw(st.booleans()),
    )


@dataclass
class Rows:
    """The rows of a world, by the names in it."""

    people: dict[str, User]
    things: dict[str, Any]


@contextmanager
def built(world: World) -> Iterator[Rows]:
    """Write a world into the database, and take it away again."""
    with transaction.atomic():
        yield _build(world)
        transaction.set_rollback(True)


def _build(world: World) -> Rows:
    kinds = dict.fromkeys(PEOPLE, PrincipalKind.USER) | dict.fromkeys(
        GROUPS, PrincipalKind.GROUP
    )
    people = {
        name: User(
            username=name,
            kind=kind,
            is_superuser=name in world.admins,
            is_auditor=name in world.auditors,
        )
        for name, kind in kinds.items()
    }
    User.objects.bulk_create(people.values())
    Membership.objects.bulk_create(
        Membership(group=people[group], member=people[member], added_by=people["ann"])
        for group, inside in world.groups.items()
        for member in inside
    )
    owner = {level: people[name] for level, name in world.owners.items()}
    catalog = Catalog.objects.create(
        name="c", owner=owner["catalog"], delegated_versions=world.delegated
    )
    schema = Schema.objects.create(name="s", owner=owner["schema"], catalog=catalog)
    model = RegisteredModel.objects.create(
        name="m", full_name="c.s.m", owner=owner["model"], schema=schema
    )
    things = {"model": model, "schema": schema, "catalog": catalog}
    for level, privilege, holder, expired in world.grants:
        put_grant(things[level], privilege, people[holder], expired=expired)
    return Rows(people, things)


def put_grant(
    thing: Securable, privilege: str, holder: User, *, expired: bool = False
) -> None:
    """Write a grant as a row, also one that the services would refuse."""
    permission = Permission.objects.get(
        content_type__model=thing._meta.model_name, codename=privilege
    )
    grants: Any = thing.grants  # type: ignore[attr-defined]  # each kind has its table
    grants.get_or_create(
        permission=permission,
        content_object=thing,
        user=holder,
        defaults={
            # not the holder: what one grants oneself counts less
            "granted_by": thing.owner,
            "expires_at": timezone.now() - dt.timedelta(1) if expired else None,
        },
    )
