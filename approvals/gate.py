"""What is still missing before a request may be applied; asked anew every time."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from functools import cache

from django.utils import timezone

from access.authz import is_allowed, is_settled
from access.facts import principals_of, settled_principals_of
from access.models import User
from access.privileges import Privilege
from access.services import is_cooling, persons_of
from approvals.evaluation import Baseline, Condition, Facts, Vote, conditions_of
from approvals.models import (
    ApprovalRequest,
    Check,
    Decision,
    Delegation,
    Policy,
    RequestStatus,
    Verdict,
)
from approvals.policies import cooling_of, policies_of, rules_for
from registry import services as registry
from registry.metrics import metrics_of
from registry.models import RegisteredModel

__all__ = ["Condition", "conditions", "counts", "unmet", "why_not"]

# what is read of a decision when it is asked whether it counts
RELATED = (
    "approver__owner",
    "on_behalf_of__owner",
    "delegation__delegator__owner",
    "delegation__delegate__owner",
)


def conditions(approval: ApprovalRequest) -> list[Condition]:
    """List what the policies ask of a pending request; empty when it is closed.

    Nothing is remembered: an approver who lost the right since, was switched
    off or became the owner does not count any more.
    """
    if approval.status != RequestStatus.PENDING:
        return []
    policies = policies_of(approval)
    facts = _facts(approval, policies)
    found = [conditions_of(policy, facts) for policy in policies]
    return [one for conditions in found for one in conditions]


def unmet(approval: ApprovalRequest) -> list[str]:
    """List in words what a pending request still needs; empty when closed."""
    found = conditions(approval)
    return list(dict.fromkeys(one.words for one in found if not one.is_met))


def why_not(approval: ApprovalRequest, principal: User) -> str | None:
    """Say why a principal may not decide on a request, or None (rule P-26).

    Four eyes are counted in persons: a service principal is its owner.
    """
    return _why_not(approval, principal, policies_of(approval))


def _why_not(
    approval: ApprovalRequest, principal: User, policies: Sequence[Policy]
) -> str | None:
    person = principal.person
    name, model = principal.username, approval.model
    if not (principal.is_active and person.is_active):
        return f"{name} is switched off."
    if not is_allowed(principal, Privilege.APPROVE, model):
        return f"{name} lacks APPROVE on {model.full_name}."
    if conflict := _interest(approval, person, policies):
        return f"{name} may not decide: {conflict}."
    since = timezone.now() - cooling_of(policies)
    if not is_settled(principal, Privilege.APPROVE, model, since):
        return (
            f"{name} came to APPROVE on {model.full_name} only just now, by joining a "
            "group or by an own grant, and four eyes are needed."
        )
    if not _reviews(policies, settled_principals_of(principal, since)):
        return _why_no_reviewer(principal, policies)
    return None


def _reviews(policies: Sequence[Policy], principals: set[uuid.UUID]) -> bool:
    return any(rules_for(policy, principals) for policy in policies)


def _why_no_reviewer(principal: User, policies: Sequence[Policy]) -> str:
    if _reviews(policies, set(principals_of(principal))):
        return (
            f"{principal.username} joined the reviewers only just now, and four eyes "
            "are needed."
        )
    return f"{principal.username} is not among the reviewers of the policy."


def interest_in(approval: ApprovalRequest, person: User) -> str:
    """Say what a person has to gain from a request, or return an empty string."""
    return _interest(approval, person, policies_of(approval))


def _interest(
    approval: ApprovalRequest, person: User, policies: Sequence[Policy]
) -> str:
    name = person.username
    if person == approval.requester.person:
        return f"{name} asked for it, and four eyes are needed"
    if person.id in approval.version.authors:
        return f"{name} made {approval.version.full_name}, and four eyes are needed"
    if person.pk in persons_of(approval.model.owner):
        return f"{name} owns {approval.model.full_name}, and four eyes are needed"
    if is_cooling(person, approval.model, cooling_of(policies)):
        return f"{approval.model.full_name} changed hands, and {name} was a party to it"
    return ""


def why_not_for(approval: ApprovalRequest, delegation: Delegation) -> str | None:
    """Say why a delegate may not decide in the delegator's name, or None.

    That the period was not over is asked when one decides, not later.
    """
    return _why_not_for(approval, delegation, policies_of(approval))


def _why_not_for(
    approval: ApprovalRequest, delegation: Delegation, policies: Sequence[Policy]
) -> str | None:
    """Ask for the delegator's right and four eyes, and the delegate's four eyes too."""
    delegator, delegate = delegation.delegator, delegation.delegate
    if delegation.revoked_at:
        return f"The delegation of {delegator.username} to {delegate.username} ended."
    if not delegate.is_active:
        return f"{delegate.username} is switched off."
    if conflict := _interest(approval, delegate.person, policies):
        return f"{delegate.username} may not decide: {conflict}."
    return _why_not(approval, delegator, policies)


def counts(approval: ApprovalRequest, decision: Decision) -> bool:
    """Tell whether an approval counts at this moment."""
    return decision.verdict == Verdict.APPROVE and not why_struck(approval, decision)


def why_struck(approval: ApprovalRequest, decision: Decision) -> str:
    """Say why a decision does not count at this moment, or nothing."""
    return _why_struck(approval, decision, policies_of(approval))


def is_rejected(approval: ApprovalRequest) -> bool:
    """Tell whether as many persons reject a request as its strictest policy asks."""
    policies = policies_of(approval)
    rejects = _standing(approval, Verdict.REJECT, policies)
    persons = {decision.person_id for decision in rejects}
    return len(persons) >= min((one.rejects_needed for one in policies), default=1)


def _why_struck(
    approval: ApprovalRequest, decision: Decision, policies: Sequence[Policy]
) -> str:
    if decision.cleared_at:
        return decision.cleared_because or "the alias moved meanwhile"
    if decision.approver is None:
        return ""
    if decision.delegation:
        return _why_not_for(approval, decision.delegation, policies) or ""
    return _why_not(approval, decision.approver, policies) or ""


def _standing(
    approval: ApprovalRequest, verdict: Verdict, policies: Sequence[Policy]
) -> list[Decision]:
    """Return the decisions of a verdict that count at this moment."""
    rows = approval.decisions.filter(cleared_at=None, verdict=verdict)
    return [
        decision
        for decision in rows.select_related(*RELATED)
        if not _why_struck(approval, decision, policies)
    ]


def _facts(approval: ApprovalRequest, policies: Sequence[Policy]) -> Facts:
    now = timezone.now()
    since = now - cooling_of(policies)
    votes = _votes(_standing(approval, Verdict.APPROVE, policies), since)
    return Facts(
        now,
        approval.opened_at,
        votes,
        list(approval.checks.order_by("reported_at")),
        cache(lambda: metrics_of(approval.version)),
        cache(lambda alias: baseline_of(approval.model, alias)),
    )


def _votes(decisions: Sequence[Decision], since: dt.datetime) -> list[Vote]:
    """Return one vote for each person, in the groups of all whom they speak for.

    All callbacks together are one.
    """
    principals: dict[uuid.UUID | None, set[uuid.UUID]] = {}
    for decision in decisions:
        found = principals.setdefault(decision.person_id, set())
        if decision.reviewer:
            found |= set(settled_principals_of(decision.reviewer, since))
    return [Vote(person, frozenset(groups)) for person, groups in principals.items()]


def baseline_of(model: RegisteredModel, alias: str) -> Baseline | None:
    """Return the metrics of what an alias points at now; None for nothing."""
    found = registry.get_alias(model, alias)
    if found is None or found.version is None:
        return None
    name = f"{found.name} (version {found.version.number})"
    return Baseline(name, metrics_of(found.version))


def latest_checks(approval: ApprovalRequest) -> dict[str, Check]:
    """Return the latest report of each check by name."""
    return {check.name: check for check in approval.checks.order_by("reported_at")}
