"""What is still missing before a request may be applied; asked anew every time."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from access.authz import is_allowed
from access.models import User
from access.privileges import Privilege
from access.services import is_cooling, persons_of
from approvals.models import (
    ApprovalRequest,
    Check,
    Decision,
    Policy,
    RequestStatus,
    Verdict,
)
from approvals.policies import lets_review, policies_of, reviewer_names


def unmet(approval: ApprovalRequest) -> list[str]:
    """List in words what a pending request still needs; empty when closed.

    Nothing is remembered: an approver who lost the right since, was switched
    off or became the owner does not count any more.
    """
    if approval.status != RequestStatus.PENDING:
        return []
    policies = policies_of(approval)
    decisions = _counting(approval)
    missing = [_missing_approvals(policy, decisions) for policy in policies]
    missing += _missing_checks(approval, policies)
    return list(dict.fromkeys(text for text in missing if text))


def why_not(approval: ApprovalRequest, principal: User) -> str | None:
    """Say why a principal may not decide on a request, or None (rule P-26).

    Four eyes are counted in persons: a service principal is its owner.
    """
    person = principal.person
    if not (principal.is_active and person.is_active):
        return f"{principal.username} is switched off."
    if not is_allowed(principal, Privilege.APPROVE, approval.model):
        return f"{principal.username} lacks APPROVE on {approval.model.full_name}."
    if conflict := interest_in(approval, person):
        return f"{principal.username} may not decide: {conflict}."
    if not any(lets_review(policy, principal) for policy in policies_of(approval)):
        return f"{principal.username} is not among the reviewers of the policy."
    return None


def interest_in(approval: ApprovalRequest, person: User) -> str:
    """Say what a person has to gain from a request, or return an empty string."""
    name = person.username
    if person == approval.requester.person:
        return f"{name} asked for it, and four eyes are needed"
    if person.id in approval.version.authors:
        return f"{name} made {approval.version.full_name}, and four eyes are needed"
    if person.pk in persons_of(approval.model.owner):
        return f"{name} owns {approval.model.full_name}, and four eyes are needed"
    if is_cooling(person, approval.model):
        return f"{approval.model.full_name} changed hands, and {name} was a party to it"
    return ""


def counts(approval: ApprovalRequest, decision: Decision) -> bool:
    """Tell whether an approval counts at this moment."""
    if decision.cleared_at or decision.verdict != Verdict.APPROVE:
        return False
    return decision.approver is None or why_not(approval, decision.approver) is None


def _counting(approval: ApprovalRequest) -> list[Decision]:
    rows = approval.decisions.filter(cleared_at=None).select_related("approver__owner")
    return [decision for decision in rows if counts(approval, decision)]


def _missing_approvals(policy: Policy, decisions: Sequence[Decision]) -> str:
    missing = policy.approvals_needed - len(_persons(policy, decisions))
    if missing <= 0:
        return ""
    listed = reviewer_names(policy)
    whom = f"one of {', '.join(listed)}" if listed else "somebody with APPROVE"
    if missing == 1:
        return f"1 more approval by {whom}"
    return f"{missing} more approvals by {whom}"


def _persons(policy: Policy, decisions: Sequence[Decision]) -> set[uuid.UUID | None]:
    """Return who approved, in persons; all callbacks together count as one."""
    return {
        decision.approver.person.id if decision.approver else None
        for decision in decisions
        if (
            lets_review(policy, decision.approver)
            if decision.approver
            else policy.callback_may_approve
        )
    }


def _missing_checks(approval: ApprovalRequest, policies: Sequence[Policy]) -> list[str]:
    latest = latest_checks(approval)
    return [
        _missing_check(name, latest.get(name))
        for policy in policies
        for name in policy.checks
    ]


def _missing_check(name: str, check: Check | None) -> str:
    if check is None:
        return f"check {name} has not reported"
    if check.passed:
        return ""
    return f"check {name} failed" + (f": {check.comment}" if check.comment else "")


def latest_checks(approval: ApprovalRequest) -> dict[str, Check]:
    """Return the latest report of each check by name."""
    return {check.name: check for check in approval.checks.order_by("reported_at")}
