"""Which requests and policies a principal may see, and which wait for them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from access.models import User
from access.privileges import Privilege
from approvals.gate import why_not, why_not_for
from approvals.models import (
    ApprovalRequest,
    Bypass,
    Decision,
    Delegation,
    Policy,
    RequestStatus,
)
from approvals.services.delegations import delegations_held_by
from core.errors import NotFound
from events.models import Event
from registry.models import Alias, Catalog, RegisteredModel, Schema


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
        "version__model",
        "version__created_by__owner",
        "version__on_behalf_of__owner",
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


def get_decision(approval: ApprovalRequest, decision_id: uuid.UUID) -> Decision:
    """Return one decision of a request that the caller was let to see."""
    rows = approval.decisions.select_related("request__model", "person")
    found = rows.filter(pk=decision_id).first()
    if found is None:
        raise NotFound(f"No decision {decision_id} on this approval request.")
    return found


def events_of(approval: ApprovalRequest) -> QuerySet[Event]:
    """Return what happened to a request, the oldest first."""
    return Event.objects.filter(subject_id=approval.pk).order_by("sequence")


def requests_waiting_for(
    principal: User, rows: QuerySet[ApprovalRequest]
) -> Iterator[ApprovalRequest]:
    """Yield those of the rows that a principal may decide and has not yet.

    For themselves, or on behalf of a reviewer who delegated that. Each row is asked
    all conditions, so take only as many as are shown.
    """
    held = list(delegations_held_by(principal=principal))
    pending = rows.filter(status=RequestStatus.PENDING, expires_at__gt=timezone.now())
    if not held:
        models = RegisteredModel.objects.allowed(principal, Privilege.APPROVE)
        pending = pending.filter(model__in=models.order_by().values("pk"))
    for approval in pending.iterator(chunk_size=100):
        if voices_of(approval, principal, held):
            yield approval


def voices_of(
    approval: ApprovalRequest, principal: User, held: Iterable[Delegation]
) -> list[User]:
    """Return in whose names a principal may decide on a request, and has not yet."""
    decided = set(
        approval.decisions.filter(cleared_at=None).values_list(
            Coalesce("on_behalf_of", "person"), flat=True
        )
    )
    voices = [] if why_not(approval, principal) else [principal]
    voices += [one.delegator for one in held if not why_not_for(approval, one)]
    return [voice for voice in voices if voice.person.pk not in decided]


def visible_policies(principal: User) -> QuerySet[Policy]:
    """Return the policies of every scope that a principal sees."""
    rows = Policy.objects.filter(
        Q(catalog__in=Catalog.objects.visible(principal).order_by().values("pk"))
        | Q(schema__in=Schema.objects.visible(principal).order_by().values("pk"))
        | Q(model__in=_models(principal))
    )
    return rows.select_related("catalog", "schema__catalog", "model", "created_by")


def get_policy(policy_id: uuid.UUID, *, principal: User) -> Policy:
    """Return one number of a policy. Raises NotFound when it is not one's to see."""
    found = visible_policies(principal).filter(pk=policy_id).first()
    if found is None:
        raise NotFound(f"No policy {policy_id} that you may see.")
    return found


def numbers_of(policy: Policy) -> QuerySet[Policy]:
    """Return all numbers of a policy's scope and pattern, the newest first."""
    rows = Policy.objects.filter(
        catalog=policy.catalog_id,
        schema=policy.schema_id,
        model=policy.model_id,
        alias_pattern__iexact=policy.alias_pattern,
    )
    related = rows.select_related("catalog", "schema__catalog", "model", "created_by")
    return related.order_by("-number")


def only_in_force(policies: Iterable[Policy]) -> list[Policy]:
    """Keep of each scope and pattern the newest number, unless it is retired."""
    newest: dict[tuple[Any, ...], Policy] = {}
    for policy in sorted(policies, key=lambda one: one.number):
        pattern = policy.alias_pattern.lower()
        newest[(policy.catalog_id, policy.schema_id, policy.model_id, pattern)] = policy
    kept = [policy for policy in newest.values() if not policy.is_retired]
    return sorted(kept, key=lambda one: (one.full_name, one.number))


def bypasses_of(aliases: Sequence[Alias]) -> dict[int, Bypass]:
    """Return which moves of an alias went past its policies, by generation."""
    rows = Bypass.objects.select_related("bypassed_by").filter(
        model__in=[alias.model_id for alias in aliases],
        alias__in=[alias.name for alias in aliases],
    )
    return {bypass.generation: bypass for bypass in rows}
