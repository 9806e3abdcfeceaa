"""Decide and take back; the decision that meets the last condition moves the alias."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from access.authz import require, require_details
from access.models import User
from access.privileges import Privilege
from approvals.binding import require_bound
from approvals.gate import is_rejected, unmet, why_not, why_not_for
from approvals.lifecycle import (
    close,
    lock,
    require_current,
    require_open,
    settle_locked,
    tell,
)
from approvals.models import (
    ApprovalRequest,
    Decision,
    Delegation,
    RequestStatus,
    Verdict,
    Via,
)
from approvals.services.application import (
    apply_if_ready,
    require_digest,
    require_intact,
    require_settled,
)
from approvals.services.delegations import find_delegation
from core.errors import Conflict, InvalidParameter, PermissionDenied
from events.types import EventType

S = RequestStatus


@dataclass(frozen=True)
class _Ballot:
    """What somebody says, of what they saw, for themselves or for a delegator."""

    verdict: Verdict
    digest: str
    binding: str
    principal: User
    delegation: Delegation | None

    @property
    def reviewer(self) -> User:
        """Return the person in whose name it is: one decision each."""
        return (self.delegation.delegator if self.delegation else self.principal).person


def decide(
    approval: ApprovalRequest,
    verdict: Verdict | str,
    *,
    digest: str,
    binding: str = "",
    comment: str = "",
    via: Via = Via.API,
    on_behalf_of: User | None = None,
    principal: User,
) -> Decision:
    """Approve or reject a request for the bytes with this digest.

    The approval that meets the last condition moves the alias in the same
    transaction. The same decision again is answered with the first one. Raises
    PermissionDenied without APPROVE or without four eyes, and Conflict for a wrong
    digest, a binding that holds no more, a closed request or another verdict.
    """
    delegation = _require_right(approval, on_behalf_of, principal=principal)
    ballot = _Ballot(_verdict(verdict), digest, binding, principal, delegation)
    if earlier := _find_earlier(approval, ballot):
        return earlier
    settled = require_settled(approval)
    require_digest(settled, digest)
    require_bound(settled, binding)
    _require_four_eyes(settled, ballot)
    if ballot.verdict == Verdict.APPROVE:
        require_intact(settled)
    with transaction.atomic():
        locked = lock(approval)
        if earlier := _find_earlier(locked, ballot):
            return earlier
        require_current(locked)
        require_bound(locked, binding)
        # the right may have been lost while the bytes were hashed
        _require_four_eyes(locked, ballot)
        return record_decision(
            locked,
            ballot.verdict,
            comment=comment,
            via=via,
            delegation=delegation,
            principal=principal,
        )


def record_decision(
    approval: ApprovalRequest,
    verdict: Verdict,
    *,
    comment: str,
    via: Via,
    delegation: Delegation | None = None,
    principal: User | None,
) -> Decision:
    """Write a decision on a locked request and draw the consequence.

    For `decide` and for callbacks, which have made sure that it may count;
    `principal` None is the holder of a callback.
    """
    decision = Decision.objects.create(
        request=approval,
        approver=principal,
        person=principal.person if principal else None,
        on_behalf_of=delegation.delegator if delegation else None,
        delegation=delegation,
        verdict=verdict,
        comment=comment,
        digest=approval.digest,
        binding=approval.binding,
        via=via,
    )
    words = {"verdict": verdict, "comment": comment, "via": via}
    if delegation:
        words["on_behalf_of"] = delegation.delegator.username
    tell(EventType.APPROVAL_DECIDED, approval, principal=principal, **words)
    if verdict == Verdict.APPROVE:
        apply_if_ready(approval, principal=principal)
    elif is_rejected(approval):
        name = _signature(principal, delegation)
        reason = f"Rejected by {name}" + (f": {comment}" if comment else ".")
        close(approval, S.REJECTED, reason, principal=principal)
    return decision


@transaction.atomic
def revoke_decision(decision: Decision, *, principal: User) -> Decision:
    """Take one's own decision back while the request is pending.

    Also the delegator may, of what was decided on their behalf. It stays on record,
    struck out; deciding anew is possible. Twice is once.
    """
    require_details(principal, decision.request.model)
    owners = {decision.person_id, decision.on_behalf_of_id}
    if principal.person.pk not in owners:
        raise PermissionDenied(
            "Only who made a decision may take it back.",
            reasons=[{"missing": "own decision", "full_name": str(decision.id)}],
        )
    locked = lock(decision.request)
    settle_locked(locked)
    decision.refresh_from_db()
    if decision.cleared_at:
        return decision
    require_open(locked)
    decision.cleared_at = timezone.now()
    decision.cleared_because = f"{principal.username} took it back"
    decision.save(update_fields=["cleared_at", "cleared_because"])
    tell(
        EventType.APPROVAL_DECISION_REVOKED,
        locked,
        principal=principal,
        decision_id=decision.id,
        verdict=decision.verdict,
    )
    return decision


def _require_right(
    approval: ApprovalRequest, on_behalf_of: User | None, *, principal: User
) -> Delegation | None:
    """Let reviewers through, and who holds the delegation of one; return that."""
    if on_behalf_of is None:
        require(principal, Privilege.APPROVE, approval.model)
        return None
    require_details(principal, approval.model)
    return find_delegation(on_behalf_of, principal=principal)


def _require_four_eyes(approval: ApprovalRequest, ballot: _Ballot) -> None:
    reason = (
        why_not_for(approval, ballot.delegation)
        if ballot.delegation
        else why_not(approval, ballot.principal)
    )
    if reason:
        raise PermissionDenied(
            reason,
            reasons=[{"missing": "four eyes", "full_name": approval.full_name}],
            request_url=approval.url,
            unmet=unmet(approval),
        )


def _find_earlier(approval: ApprovalRequest, ballot: _Ballot) -> Decision | None:
    """Return the decision that this one repeats. Raises Conflict for another one.

    Also on a closed request: whoever lost the answer to the click that applied it
    asks again and is told the same.
    """
    rows = approval.decisions.filter(cleared_at=None)
    earlier = (
        rows.filter(on_behalf_of=ballot.reviewer).first()
        or rows.filter(on_behalf_of=None, person=ballot.reviewer).first()
    )
    if earlier is None:
        return None
    same = earlier.approver == ballot.principal and earlier.digest == ballot.digest
    if ballot.binding and ballot.binding != earlier.binding:
        same = False
    if same and earlier.verdict == ballot.verdict:
        earlier.is_replay = True
        return earlier
    raise Conflict(
        f"{ballot.reviewer.username} already decided: {earlier.verdict}. Take that "
        "decision back first, while the request is pending.",
        verdict=earlier.verdict,
        decision_id=str(earlier.id),
    )


def _verdict(verdict: Verdict | str) -> Verdict:
    try:
        return Verdict(verdict)
    except ValueError as error:
        raise InvalidParameter("decision must be approve or reject.") from error


def _signature(principal: User | None, delegation: Delegation | None) -> str:
    if principal is None:
        return "a callback"
    if delegation is None:
        return principal.username
    return f"{principal.username} on behalf of {delegation.delegator.username}"
