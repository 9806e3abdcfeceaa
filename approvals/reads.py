"""Which requests and policies a principal may see, and which wait for them."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Q, QuerySet

from access.models import User
from access.privileges import Privilege
from approvals.gate import why_not
from approvals.models import ApprovalRequest, Policy, RequestStatus
from core.errors import NotFound
from registry.models import Catalog, RegisteredModel, Schema


def _models(principal: User) -> Any:
    """BROWSE shows that a model exists, not what is decided about it."""
    return RegisteredModel.objects.detailed(principal).order_by().values("pk")


def visible_requests(principal: User) -> QuerySet[ApprovalRequest]:
    """Return the requests of the models whose metadata a principal sees, and own."""
    condition = Q(requester=principal) | Q(model__in=_models(principal))
    rows = ApprovalRequest.objects.filter(condition)
    return rows.select_related(
        "model__schema__catalog",
        "model__owner__owner",
        "version__created_by__owner",
        "previous_version",
        "requester__owner",
        "policy",
    )


def get_request(request_id: uuid.UUID, *, principal: User) -> ApprovalRequest:
    """Return one request. Raises NotFound when it is not the principal's to see."""
    found = visible_requests(principal).filter(pk=request_id).first()
    if found is None:
        raise NotFound(f"No approval request {request_id} that you may see.")
    return found


def requests_waiting_for(principal: User) -> list[ApprovalRequest]:
    """Return the pending requests that a principal may decide and has not yet."""
    decided = Q(decisions__person=principal.person, decisions__cleared_at=None)
    models = RegisteredModel.objects.allowed(principal, Privilege.APPROVE)
    rows = visible_requests(principal).filter(
        status=RequestStatus.PENDING, model__in=models.order_by().values("pk")
    )
    waiting = rows.exclude(pk__in=ApprovalRequest.objects.filter(decided).values("pk"))
    return [approval for approval in waiting if why_not(approval, principal) is None]


def visible_policies(principal: User) -> QuerySet[Policy]:
    """Return the policies of every scope that a principal sees."""
    rows = Policy.objects.filter(
        Q(catalog__in=Catalog.objects.visible(principal).order_by().values("pk"))
        | Q(schema__in=Schema.objects.visible(principal).order_by().values("pk"))
        | Q(model__in=_models(principal))
    )
    return rows.select_related("catalog", "schema__catalog", "model", "created_by")
