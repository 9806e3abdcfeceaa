"""Grant, revoke, transfer ownership."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from access.authz import chain_of, is_allowed, require, require_known, unknown
from access.facts import principals_of
from access.models import OwnershipTransfer, User
from access.privileges import (
    EXCLUDED_FROM_ALL,
    GRANTABLE,
    Privilege,
    parse_privilege,
)
from access.securables import Securable
from access.services.groups import persons_of
from access.services.principals import get_principal
from core import sql
from core.errors import InvalidParameter
from events.services import emit
from events.types import EventType


@transaction.atomic
def grant(
    securable: Securable,
    privilege: Privilege | str,
    to: User,
    *,
    expires_at: dt.datetime | None = None,
    principal: User,
) -> None:
    """Give a privilege on a securable to a principal of any kind; idempotent.

    With another `expires_at`, a grant that is there gets the new end.
    """
    require(principal, Privilege.MANAGE, securable)
    privilege = parse_privilege(str(privilege), securable._meta.model_name or "")
    _require_delegated(securable, privilege)
    if not sql.hold(securable):  # a container may be deleted at this moment
        raise unknown(securable)
    same = {
        "permission": _permission(securable, privilege),
        "content_object": securable,
        "user": to,
    }
    fields = {"expires_at": expires_at, "granted_by": principal}
    rows = _grants_on(securable)
    held, created = rows.select_for_update().get_or_create(**same, defaults=fields)
    changed = held.expires_at != expires_at
    if changed:
        rows.filter(pk=held.pk).update(**fields, granted_at=timezone.now())
    if created or changed:
        emit(
            EventType.GRANT_ADDED,
            securable,
            principal=principal,
            privilege=privilege.label,
            to=to.username,
            expires_at=expires_at,
        )


@transaction.atomic
def revoke(
    securable: Securable,
    privilege: Privilege | str,
    of: User,
    *,
    principal: User,
) -> None:
    """Take a privilege back; taking what is not there is no error.

    With ALL PRIVILEGES goes every single grant that it implies; MANAGE stays.
    """
    require(principal, Privilege.MANAGE, securable)
    kind = securable._meta.model_name or ""
    privilege = parse_privilege(str(privilege), kind)
    wanted = {privilege}
    if privilege == Privilege.ALL_PRIVILEGES:
        wanted |= set(GRANTABLE[kind]) - EXCLUDED_FROM_ALL
    held = _grants_on(securable).filter(user=of, permission__codename__in=wanted)
    taken = list(held.values_list("permission__codename", flat=True))
    held.delete()
    for codename in sorted(taken):
        emit(
            EventType.GRANT_REVOKED,
            securable,
            principal=principal,
            privilege=Privilege(codename).label,
            of=of.username,
        )


@transaction.atomic
def change_grants(
    securable: Securable, changes: list[dict[str, Any]], *, principal: User
) -> None:
    """Apply a list of {principal, add, remove, expires_at}: all of it or nothing."""
    require(principal, Privilege.MANAGE, securable)
    for change in changes:
        if change["expires_at"] and change["expires_at"] <= timezone.now():
            raise InvalidParameter("expires_at must lie in the future.")
    for change in changes:
        holder = get_principal(change["principal"])
        for privilege in change["remove"]:
            revoke(securable, privilege, holder, principal=principal)
        for privilege in change["add"]:
            grant(
                securable,
                privilege,
                holder,
                expires_at=change["expires_at"],
                principal=principal,
            )


def _require_delegated(securable: Securable, privilege: Privilege) -> None:
    """Refuse CREATE MODEL VERSION in a catalog where only owners register."""
    catalog = chain_of(securable)[-1]
    if privilege == Privilege.CREATE_MODEL_VERSION and not catalog.delegated_versions:
        raise InvalidParameter(
            f"CREATE MODEL VERSION counts only where the catalog has "
            f"delegated_versions on; {catalog.full_name} has it off."
        )


def _permission(securable: Securable, privilege: Privilege) -> Permission:
    content_type = ContentType.objects.get_for_model(securable)
    return Permission.objects.get(content_type=content_type, codename=privilege.value)


def list_grants(securable: Securable, *, principal: User) -> list[dict[str, Any]]:
    """Return the direct grants on a securable, by holder (rules P-18 and P-19).

    Who has no power over the object gets those of itself and its groups.
    """
    rows = _grants_on(securable).order_by("user__username", "permission__codename")
    if not is_allowed(principal, Privilege.MANAGE, securable):
        require_known(principal, securable)
        rows = rows.filter(user__in=principals_of(principal))
    return [
        {"principal": holder, "privilege": codename, "expires_at": expires_at}
        for holder, codename, expires_at in rows.values_list(
            "user__username", "permission__codename", "expires_at"
        )
    ]


def _grants_on(securable: Securable) -> QuerySet[Any]:
    rows: QuerySet[Any] = securable.grants.all()  # type: ignore[attr-defined]  # each kind has its table
    return rows


@transaction.atomic
def transfer_ownership(securable: Securable, to: User, *, principal: User) -> None:
    """Make a principal of any kind the owner (rule P-22); to the owner is no change.

    Needs MANAGE, which the owner and the owners of containers have. From now on
    the cooling period runs for the old and the new owner.
    """
    require(principal, Privilege.MANAGE, securable)
    if not to.is_active:
        raise InvalidParameter(f"owner {to.username} is switched off.")
    row: Any = type(securable).objects.select_for_update().get(pk=securable.pk)
    previous = row.owner
    if previous == to:
        return
    type(securable).objects.filter(pk=securable.pk).update(owner=to)
    securable.owner = to
    OwnershipTransfer.objects.create(
        securable_id=securable.pk,
        previous=previous,
        owner=to,
        transferred_by=principal,
    )
    emit(
        EventType.OWNER_TRANSFERRED,
        securable,
        principal=principal,
        before=previous.username,
        after=to.username,
    )


def is_cooling(
    who: User, securable: Securable, period: dt.timedelta | None = None
) -> bool:
    """Tell whether somebody's person came into, or lost, ownership just now.

    For a period (`COOLING_PERIOD`, unless said) after a transfer, whoever is or was behind it can neither
    ask for a protected alias nor decide about one: four eyes outlive a transfer.
    """
    since = timezone.now() - (period or settings.COOLING_PERIOD)
    recent = OwnershipTransfer.objects.filter(
        Q(securable_id=securable.pk), transferred_at__gt=since
    ).select_related("previous__owner", "owner__owner")
    person = who.person.pk
    return any(
        person in persons_of(end)
        for transfer in recent
        for end in (transfer.previous, transfer.owner)
    )
