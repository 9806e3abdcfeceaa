"""Protect aliases by policies: a change is a new number, and so is an end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from access.authz import require
from access.models import User
from access.privileges import Privilege
from access.securables import Securable
from access.services import require_admin
from approvals import drafts
from approvals.drafts import WEEK_SECONDS, CheckRule, Draft, ReviewerRule
from approvals.models import Policy
from approvals.plans import check_plan
from approvals.policies import policy_json, scope_field
from approvals.satisfiable import require_satisfiable
from core.errors import Conflict
from events.services import emit
from events.types import EventType


def create_policy(
    scope: Securable,
    alias_pattern: str,
    *,
    approvals_needed: int = 1,
    checks: Sequence[str] = (),
    reviewers: Sequence[User] = (),
    callback_may_approve: bool = False,
    expires_after_seconds: int = WEEK_SECONDS,
    rollout_plan: dict[str, Any] | None = None,
    principal: User,
) -> Policy:
    """Protect aliases by one rule: so many approvals, and these checks."""
    draft = Draft(
        alias_pattern,
        rules=(ReviewerRule(approvals_needed, tuple(reviewers)),),
        checks=tuple(CheckRule(name) for name in checks),
        callback_may_approve=callback_may_approve,
        expires_after_seconds=expires_after_seconds,
        rollout_plan=rollout_plan or {},
    )
    return put_policy(scope, draft, principal=principal)


def put_policy(
    scope: Securable, draft: Draft, *, after: int | None = None, principal: User
) -> Policy:
    """Protect the aliases of a catalog, schema or model as a draft says.

    The next number of the same scope and pattern replaces the one before it;
    `after` is the number that the caller saw, 0 for none, and another is a
    Conflict. Needs MANAGE of the scope, which its owner has; letting callbacks
    approve or somebody bypass needs an admin. Raises InvalidParameter for a policy
    nobody could satisfy.
    """
    require(principal, Privilege.MANAGE, scope)
    if draft.callback_may_approve or draft.bypass.principals:
        require_admin(principal)
    drafts.check(draft)
    draft = replace(draft, rollout_plan=check_plan(draft.rollout_plan))
    require_satisfiable(scope, draft)
    policy = draft.as_policy(scope)
    return _insert(policy, after, EventType.POLICY_CREATED, principal)


def retire_policy(policy: Policy, *, note: str = "", principal: User) -> Policy:
    """End a policy by a last number that says so; needs MANAGE of its scope.

    Open requests go on to be held to it. Raises Conflict for a number that is not
    the one in force.
    """
    require(principal, Privilege.MANAGE, policy.scope)
    ended = Policy.objects.get(pk=policy.pk)
    ended.pk = Policy._meta.pk.get_default()
    ended._state.adding = True
    ended.is_retired, ended.note = True, note
    return _insert(ended, policy.number, EventType.POLICY_RETIRED, principal)


@transaction.atomic
def _insert(
    policy: Policy, after: int | None, event_type: EventType, principal: User
) -> Policy:
    """Write a policy under the next number. Raises Conflict when it is not next."""
    field = scope_field(policy.scope)
    same = Policy.objects.filter(
        **{field: policy.scope}, alias_pattern__iexact=policy.alias_pattern
    )
    last = same.order_by("-number").first()
    number = last.number if last else 0
    if (after is not None and after != number) or (
        last and last.is_retired and policy.is_retired
    ):
        raise Conflict(
            f"{policy.full_name} is in number {number} by now; look again.",
            number=number,
        )
    policy.number, policy.created_by = number + 1, principal
    policy.created_at = timezone.now()
    try:
        with transaction.atomic():
            policy.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(
            "Somebody changed this policy at the same moment; look again."
        ) from error
    emit(event_type, policy, principal=principal, policy=policy_json(policy))
    return policy
