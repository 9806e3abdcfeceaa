"""Ask for access; grant it, decline it, withdraw the wish (rule P-28)."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from access.authz import require
from access.models import AccessRequest, AccessRequestStatus, User
from access.privileges import Privilege, parse_privilege
from access.securables import Securable, find_securable, kind_named, kinds_of_securables
from access.services.grants import grant
from core.errors import Conflict, InvalidParameter, NotFound
from core.states import transition
from events.services import emit
from events.types import EventType

S = AccessRequestStatus
MAX_PENDING = 50


def request_access(
    securable_type: str,
    full_name: str,
    privileges: list[str],
    *,
    reason: str = "",
    principal: User,
) -> AccessRequest:
    """Ask for privileges on an object of which one knows the full name.

    The answer is the same whether there is such an object or not. Asking again
    while a request waits finds that one.
    """
    kind = kind_named(securable_type)
    name = kind._meta.model_name or ""
    if not full_name.strip():
        raise InvalidParameter("full_name must name what you need access to.")
    if not privileges:
        raise InvalidParameter("privileges must name at least one, such as EXECUTE.")
    wanted = [parse_privilege(text, name).value for text in privileges]
    pending = AccessRequest.objects.filter(requester=principal, status=S.PENDING)
    if earlier := pending.filter(securable_type=name, full_name=full_name).first():
        return earlier
    if pending.count() >= MAX_PENDING:
        raise Conflict(f"{MAX_PENDING} requests of yours wait; withdraw one first.")
    row = AccessRequest(
        requester=principal,
        securable_type=name,
        full_name=full_name,
        securable_id=_id_of(name, full_name),
        privileges=list(dict.fromkeys(wanted)),
        reason=reason,
    )
    return _insert(row, principal)


@transaction.atomic
def _insert(row: AccessRequest, principal: User) -> AccessRequest:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict("You asked for this at the same moment; look again.") from error
    labels = [Privilege(value).label for value in row.privileges]
    emit(
        EventType.ACCESS_REQUESTED,
        row,
        principal=principal,
        privileges=", ".join(labels),
        reason=row.reason,
    )
    return row


def _id_of(kind: str, full_name: str) -> UUID | None:
    try:
        found: UUID = find_securable(kind, full_name).pk
    except NotFound:
        return None
    return found


def visible_access_requests(*, principal: User) -> QuerySet[AccessRequest]:
    """Return one's own requests, and those about what one manages."""
    condition = Q(requester=principal)
    for kind in kinds_of_securables():
        managed = kind.objects.allowed(principal, Privilege.MANAGE)
        condition |= Q(
            securable_type=kind._meta.model_name, securable_id__in=managed.values("pk")
        )
    rows = AccessRequest.objects.select_related("requester", "answered_by")
    return rows.filter(condition)


def get_access_request(request_id: UUID, *, principal: User) -> AccessRequest:
    """Return a request that one made or may answer. Raises NotFound."""
    found = visible_access_requests(principal=principal).filter(pk=request_id).first()
    if found is None:
        raise NotFound(f"No access request {request_id} that you may see.")
    return found


@transaction.atomic
def grant_request(
    request: AccessRequest,
    *,
    expires_at: dt.datetime | None = None,
    answer: str = "",
    principal: User,
) -> AccessRequest:
    """Grant what was asked for; needs MANAGE of the object, as every grant does."""
    securable = _securable_of(request)
    for privilege in request.privileges:
        grant(
            securable,
            privilege,
            request.requester,
            expires_at=expires_at,
            principal=principal,
        )
    _close(request, S.GRANTED, answer, principal)
    emit(
        EventType.ACCESS_GRANTED,
        request,
        principal=principal,
        requester=request.requester.username,
        privileges=request.privileges,
        expires_at=expires_at,
    )
    return request


@transaction.atomic
def decline_request(
    request: AccessRequest, *, answer: str = "", principal: User
) -> AccessRequest:
    """Say no; needs MANAGE of the object."""
    require(principal, Privilege.MANAGE, _securable_of(request))
    _close(request, S.DECLINED, answer, principal)
    emit(
        EventType.ACCESS_DECLINED,
        request,
        principal=principal,
        requester=request.requester.username,
        answer=answer,
    )
    return request


@transaction.atomic
def withdraw_request(request: AccessRequest, *, principal: User) -> AccessRequest:
    """Take a wish back; only who asked can."""
    if request.requester_id != principal.pk:
        raise NotFound(f"No access request {request.pk} of yours.")
    _close(request, S.WITHDRAWN, "", principal)
    emit(EventType.ACCESS_WITHDRAWN, request, principal=principal)
    return request


def _close(
    request: AccessRequest, status: AccessRequestStatus, answer: str, by: User
) -> None:
    transition(
        request, status, answered_by=by, answered_at=timezone.now(), answer=answer
    )


def _securable_of(request: AccessRequest) -> Securable:
    kind = kind_named(request.securable_type)
    found: Securable | None = (
        kind.objects.filter(pk=request.securable_id).first()
        if request.securable_id
        else None
    )
    if found is None:
        raise NotFound(f"No {request.securable_type} {request.full_name}.")
    return found
