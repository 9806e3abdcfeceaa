"""Groups of principals: nested, and read live by every check."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable

from django.db import connection, transaction

from access.facts import db_uuid, from_db_uuid, principals_of
from access.models import Group, Membership, PrincipalKind, User
from access.services.principals import require_admin, require_free
from core.errors import InvalidParameter, NotFound
from events.services import emit
from events.types import EventType

# Everything below some groups, however deep: (the group, what is in it).
_INSIDE = (
    "WITH RECURSIVE inside(root, id) AS (SELECT group_id, member_id"
    " FROM access_membership WHERE group_id IN (%s)"
    " UNION SELECT inside.root, m.member_id FROM inside"
    " JOIN access_membership m ON m.group_id = inside.id)"
    " SELECT root, id FROM inside"
)


def get_group(name: str) -> Group:
    """Return a group by name. Raises NotFound."""
    found = Group.objects.filter(username=name).first()
    if found is None:
        raise NotFound(f"No group {name!r}.")
    return found


@transaction.atomic
def create_group(name: str, *, principal: User) -> Group:
    """Create a group of principals."""
    require_admin(principal)
    require_free(name)
    group: Group = Group.objects.create_user(name, kind=PrincipalKind.GROUP)
    emit(EventType.PRINCIPAL_CREATED, group, principal=principal, kind=group.kind)
    return group


@transaction.atomic
def add_member(group: User, member: User, *, principal: User) -> Membership:
    """Put a principal into a group; its grants count from the next request on.

    Twice is once. Raises InvalidParameter when the group would be in itself.
    """
    require_admin(principal)
    _require_group(group)
    # one at a time, or two halves of a circle could be closed at once
    list(Group.objects.select_for_update().order_by("pk").values_list("pk"))
    if member.pk in principals_of(group):
        raise InvalidParameter(
            f"{member.username} cannot be in {group.username}: "
            f"{group.username} is in {member.username}, or is it."
        )
    membership, created = Membership.objects.get_or_create(
        group=group, member=member, defaults={"added_by": principal}
    )
    if created:
        emit(
            EventType.GROUP_MEMBER_ADDED,
            group,
            principal=principal,
            member=member.username,
        )
    return membership


@transaction.atomic
def remove_member(group: User, member: User, *, principal: User) -> None:
    """Take a principal out of a group; whoever is not in it stays so."""
    require_admin(principal)
    _require_group(group)
    deleted, _ = Membership.objects.filter(group=group, member=member).delete()
    if deleted:
        emit(
            EventType.GROUP_MEMBER_REMOVED,
            group,
            principal=principal,
            member=member.username,
        )


def _require_group(group: User) -> None:
    if group.kind != PrincipalKind.GROUP:
        raise InvalidParameter(f"{group.username} is a {group.kind}, not a group.")


def list_members(group: User, *, principal: User) -> list[User]:
    """Return who is directly in a group; for its members and admins.

    Raises NotFound to others: who is in a group is nobody else's business.
    """
    _require_group(group)
    if not principal.is_superuser and group.pk not in principals_of(principal):
        raise NotFound(f"No group {group.username!r} of yours.")
    inside = User.objects.filter(group_memberships__group=group)
    return list(inside.select_related("owner").order_by("username"))


def members_of(groups: Iterable[uuid.UUID]) -> dict[uuid.UUID, set[uuid.UUID]]:
    """Return the ids of all that are in each group, through other groups too.

    One query; the groups in between are among the members.
    """
    roots = [db_uuid(group) for group in groups]
    if not roots:
        return {}
    sql = _INSIDE % ", ".join(["%s"] * len(roots))
    found: dict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)
    with connection.cursor() as cursor:
        cursor.execute(sql, roots)
        for root, member in cursor:
            found[from_db_uuid(root)].add(from_db_uuid(member))
    return dict(found)


def persons_of(who: User) -> set[uuid.UUID]:
    """Return the ids of the persons behind a principal: of a group, everybody's."""
    if who.kind != PrincipalKind.GROUP:
        return {who.person.pk}
    ids = members_of([who.pk]).get(who.pk, set())
    members = User.objects.filter(pk__in=ids).exclude(kind=PrincipalKind.GROUP)
    return {member.person.pk for member in members.select_related("owner")}
