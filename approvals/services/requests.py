"""Ask for a protected alias; withdraw the wish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from access.authz import require
from access.models import User
from access.privileges import Privilege
from access.services import is_cooling
from approvals.binding import bind
from approvals.evidence import collect_evidence
from approvals.lifecycle import (
    close,
    generation_of,
    lock,
    lock_open,
    require_open,
    reset,
    settle_locked,
    tell,
)
from approvals.models import ApprovalRequest, RequestStatus
from approvals.plans import check_plan, choose_plan
from approvals.policies import cooling_of, policies_in_force, snapshot
from approvals.shapes import EvidenceJson
from core.errors import Conflict, PermissionDenied
from events.types import EventType
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel

S = RequestStatus
_ATTEMPTS = 5


def request_alias(
    model: RegisteredModel,
    alias: str,
    version: ModelVersion,
    *,
    rollout_plan: dict[str, Any] | None = None,
    reason: str = "",
    principal: User,
) -> ApprovalRequest:
    """Ask for a protected alias to be moved to a version.

    Without a plan, the nearest policy's template is taken. Asking again for the same
    version and plan finds the open request; asking for another one supersedes it.
    Raises Conflict unless the version is READY and intact.
    """
    require(principal, Privilege.OWN, model)
    _require_settled_ownership(model, alias, principal)
    registry.check_alias_move(model, alias, version)
    wish = _Wish(model, alias, version, reason, rollout_plan, principal)
    for _ in range(_ATTEMPTS):
        # before the lock: it reads MLflow's tables
        current = registry.get_alias(model, alias)
        champion = current.version if current else None
        evidence = collect_evidence(version, champion, principal=principal)
        try:
            return _open(wish, evidence, generation_of(current))
        except (IntegrityError, _Moved):
            continue  # by another request for this alias, just now
    raise Conflict(f"{model.full_name}@{alias} is asked for by others; try again.")


def _require_settled_ownership(
    model: RegisteredModel, alias: str, principal: User
) -> None:
    """Refuse who became the owner only just now (rule P-22)."""
    period = cooling_of(policies_in_force(model, alias))
    if is_cooling(principal, model, period):
        hours = period.total_seconds() / 3600
        raise PermissionDenied(
            f"{model.full_name} changed hands less than {hours:g} hours ago; until "
            f"then {principal.username} cannot ask for its protected aliases.",
            reasons=[{"missing": "settled ownership", "full_name": model.full_name}],
        )


@dataclass(frozen=True)
class _Wish:
    model: RegisteredModel
    alias: str
    version: ModelVersion
    reason: str
    rollout_plan: dict[str, Any] | None
    principal: User


class _Moved(Exception):
    """The alias moved while the evidence was collected."""


@transaction.atomic
def _open(wish: _Wish, evidence: EvidenceJson, generation: int) -> ApprovalRequest:
    model, alias, version = wish.model, wish.alias, wish.version
    older = lock_open(model, alias)
    policies = policies_in_force(model, alias)
    plan = choose_plan(wish.rollout_plan, policies)
    if older:
        settle_locked(older)
        is_same = older.version_id == version.pk and (
            wish.rollout_plan is None or plan == older.rollout_plan
        )
        if older.is_open and is_same:
            return older
    if not policies:
        raise Conflict(f"No policy protects {model.full_name}@{alias}; just set it.")
    current = registry.get_alias(model, alias)
    if generation_of(current) != generation:
        raise _Moved
    if current and current.version_id == version.pk:
        raise Conflict(f"{current.full_name} is version {version.number} already.")
    if older and older.is_open:
        close(older, S.SUPERSEDED, _instead_of(older, wish), principal=wish.principal)
    now = timezone.now()
    approval = ApprovalRequest.objects.create(
        model=model,
        version=version,
        digest=version.digest,
        alias=current.name if current else alias,
        previous_version=current.version if current else None,
        alias_generation=generation,
        policy=policies[0],
        policy_snapshot=snapshot(policies),
        rollout_plan=plan,
        evidence=evidence,
        requester=wish.principal,
        reason=wish.reason,
        opened_at=now,
        expires_at=now + min(policy.expires_after for policy in policies),
    )
    bind(approval)
    tell(EventType.APPROVAL_REQUESTED, approval, principal=wish.principal)
    return approval


def _instead_of(older: ApprovalRequest, wish: _Wish) -> str:
    if older.version_id == wish.version.pk:
        return f"Version {wish.version.number} was asked for with another plan."
    return f"Version {wish.version.number} was asked for instead."


@transaction.atomic
def edit_plan(
    approval: ApprovalRequest, rollout_plan: dict[str, Any], *, principal: User
) -> ApprovalRequest:
    """Change the rollout plan of one's own open request: everybody looks again.

    Decisions were made about another plan, so they are struck out. The same plan
    changes nothing. Raises PermissionDenied for anybody but the requester.
    """
    require(principal, Privilege.OWN, approval.model)
    if principal.person != approval.requester.person:
        raise PermissionDenied(
            f"Only {approval.requester.username}, who asked, may change the plan.",
            reasons=[{"missing": "own request", "full_name": approval.full_name}],
        )
    plan = check_plan(rollout_plan)
    locked = lock(approval)
    settle_locked(locked)
    require_open(locked)
    if plan == locked.rollout_plan:
        return locked
    locked.rollout_plan = plan
    locked.save(update_fields=["rollout_plan"])
    reset(locked, "the rollout plan was changed", principal=principal)
    return locked


@transaction.atomic
def cancel(approval: ApprovalRequest, *, principal: User) -> ApprovalRequest:
    """Withdraw a request: by who asked for it, or with MANAGE of the model."""
    if principal.person != approval.requester.person:
        require(principal, Privilege.MANAGE, approval.model)
    locked = lock(approval)
    require_open(locked)
    reason = f"Withdrawn by {principal.username}."
    close(locked, S.CANCELLED, reason, principal=principal)
    return locked
