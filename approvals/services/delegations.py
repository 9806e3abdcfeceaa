"""Let somebody decide in one's place for a while; end that."""

from __future__ import annotations

import datetime as dt
import uuid

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from access.models import PrincipalKind, User
from access.services import require_admin
from approvals.models import Delegation
from core.errors import InvalidParameter, NotFound, PermissionDenied
from events.services import emit
from events.types import EventType

_LONGEST = dt.timedelta(days=92)


@transaction.atomic
def delegate_approvals(
    to: User,
    *,
    ends_at: dt.datetime,
    starts_at: dt.datetime | None = None,
    reason: str = "",
    principal: User,
) -> Delegation:
    """Let another person decide on one's behalf until a moment.

    Whatever the delegator may decide at that time, the delegate may, in their name
    and never on what is the delegate's own. It gives no right to see a model, and
    cannot be passed on: only the delegator's own right counts.
    """
    starts_at = starts_at or timezone.now()
    _check_parties(to, principal)
    _check_period(starts_at, ends_at)
    delegation = Delegation.objects.create(
        delegator=principal,
        delegate=to,
        reason=reason,
        starts_at=starts_at,
        ends_at=ends_at,
    )
    _tell(EventType.DELEGATION_CREATED, delegation, principal=principal)
    return delegation


@transaction.atomic
def revoke_delegation(delegation: Delegation, *, principal: User) -> Delegation:
    """End a delegation at once: by either party, or an admin.

    What was decided under it stops counting on requests that are still pending.
    """
    if principal not in (delegation.delegator, delegation.delegate):
        require_admin(principal)
    rows = Delegation.objects.filter(pk=delegation.pk, revoked_at=None)
    if rows.update(revoked_at=timezone.now(), revoked_by=principal):
        _tell(EventType.DELEGATION_REVOKED, delegation, principal=principal)
    delegation.refresh_from_db()
    return delegation


def find_delegation(delegator: User, *, principal: User) -> Delegation:
    """Return the delegation by which one may speak for another now.

    Raises PermissionDenied: without one, nobody decides on behalf of others.
    """
    found = delegations_held_by(principal=principal).filter(delegator=delegator).first()
    if found is None:
        raise PermissionDenied(
            f"{delegator.username} has not delegated approvals to "
            f"{principal.username}, or not for now.",
            reasons=[{"missing": "delegation", "full_name": delegator.username}],
        )
    return found


def delegations_held_by(*, principal: User) -> QuerySet[Delegation]:
    """Return the delegations by which a person may speak for others now."""
    now = timezone.now()
    rows = Delegation.objects.filter(
        delegate=principal, revoked_at=None, starts_at__lte=now, ends_at__gt=now
    )
    return rows.select_related("delegator__owner", "delegate__owner")


def visible_delegations(*, principal: User) -> QuerySet[Delegation]:
    """Return the delegations that one gave or got; an admin sees all."""
    rows = Delegation.objects.select_related("delegator__owner", "delegate__owner")
    if principal.is_superuser:
        return rows
    return rows.filter(Q(delegator=principal) | Q(delegate=principal))


def get_delegation(delegation_id: uuid.UUID, *, principal: User) -> Delegation:
    """Return a delegation that one may see. Raises NotFound."""
    found = visible_delegations(principal=principal).filter(pk=delegation_id).first()
    if found is None:
        raise NotFound(f"No delegation {delegation_id} of yours.")
    return found


def _check_parties(to: User, principal: User) -> None:
    if {to.kind, principal.kind} != {PrincipalKind.USER}:
        raise InvalidParameter(
            "delegate: approvals are delegated by a person to a person, not by or to "
            "a service or a group."
        )
    if to == principal:
        raise InvalidParameter("delegate: name somebody else than yourself.")
    if not to.is_active:
        raise InvalidParameter(f"delegate: {to.username} is switched off.")


def _check_period(starts_at: dt.datetime, ends_at: dt.datetime) -> None:
    if ends_at <= max(starts_at, timezone.now()):
        raise InvalidParameter("ends_at must be in the future, and after starts_at.")
    if ends_at - starts_at > _LONGEST:
        raise InvalidParameter(
            f"ends_at: a delegation lasts {_LONGEST.days} days at most; renew it."
        )


def _tell(event_type: EventType, delegation: Delegation, *, principal: User) -> None:
    """Emit an event about the delegate, who sees it so as the delegator does."""
    emit(
        event_type,
        delegation.delegate,
        principal=principal,
        delegation_id=delegation.id,
        delegator=delegation.delegator.username,
        delegate=delegation.delegate.username,
        starts_at=delegation.starts_at.isoformat(),
        ends_at=delegation.ends_at.isoformat(),
        reason=delegation.reason,
    )
