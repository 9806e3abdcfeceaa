"""What is still missing before a request may be applied; asked anew every time."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

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

APPROVALS, CHECK = "approvals", "check"


@dataclass(frozen=True)
class Condition:
    """One thing that a policy asks of a request, and whether it is so by now."""

    # approvals, check, metric, wait or freeze
    kind: str
    words: str
    is_met: bool
    have: int | None = None
    need: int | None = None
    # when it will be met by itself
    until: dt.datetime | None = None
    policy: str = ""


def conditions(approval: ApprovalRequest) -> list[Condition]:
    """List what the policies ask of a pending request; empty when it is closed.

    Nothing is remembered: an approver who lost the right since, was switched
    off or became the owner does not count any more.
    """
    if approval.status != RequestStatus.PENDING:
        return []
    policies = policies_of(approval)
    decisions = _counting(approval)
    latest = latest_checks(approval)
    found = [_approvals(policy, decisions) for policy in policies]
    for policy in policies:
        found += [_check(policy, name, latest.get(name)) for name in policy.checks]
    return found


def unmet(approval: ApprovalRequest) -> list[str]:
    """List in words what a pending request still needs; empty when closed."""
    found = conditions(approval)
    return list(dict.fromkeys(one.words for one in found if not one.is_met))


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


def _approvals(policy: Policy, decisions: Sequence[Decision]) -> Condition:
    have, need = len(_persons(policy, decisions)), policy.approvals_needed
    listed = reviewer_names(policy)
    whom = f"one of {', '.join(listed)}" if listed else "somebody with APPROVE"
    missing = need - have
    if missing <= 0:
        words = f"{have} of {need} approvals by {whom}"
    elif missing == 1:
        words = f"1 more approval by {whom}"
    else:
        words = f"{missing} more approvals by {whom}"
    return Condition(
        APPROVALS, words, missing <= 0, have, need, policy=policy.full_name
    )


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


def _check(policy: Policy, name: str, report: Check | None) -> Condition:
    is_met = report is not None and report.passed
    words = f"check {name} passed"
    if report is None:
        words = f"check {name} has not reported"
    elif not report.passed:
        comment = f": {report.comment}" if report.comment else ""
        words = f"check {name} failed{comment}"
    return Condition(CHECK, words, is_met, policy=policy.full_name)


def latest_checks(approval: ApprovalRequest) -> dict[str, Check]:
    """Return the latest report of each check by name."""
    return {check.name: check for check in approval.checks.order_by("reported_at")}
