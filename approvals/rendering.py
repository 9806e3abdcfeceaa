"""How requests, decisions, comments and delegations look on the wire."""

from __future__ import annotations

from approvals.evidence import evidence_of
from approvals.gate import RELATED, Condition, conditions, latest_checks, why_struck
from approvals.lifecycle import links
from approvals.models import (
    ApprovalRequest,
    Check,
    Comment,
    Decision,
    Delegation,
    Verdict,
)
from approvals.shapes import (
    ApprovalDetailJson,
    ApprovalJson,
    CheckJson,
    CommentJson,
    ConditionJson,
    DecisionJson,
    DelegationJson,
    TimelineEntryJson,
)
from events.models import Event


def request_json(approval: ApprovalRequest) -> ApprovalJson:
    """Render a request as lists show it."""
    previous = approval.previous_version
    return {
        "id": str(approval.id),
        "model": approval.model.full_name,
        "alias": approval.alias,
        "version": approval.version.number,
        "digest": approval.digest,
        "binding": approval.binding,
        "previous": previous.number if previous else None,
        "status": approval.status,
        "requested_by": approval.requester.username,
        "reason": approval.reason,
        "opened_at": approval.opened_at,
        "expires_at": approval.expires_at,
        "closed_at": approval.closed_at,
        "closing_reason": approval.closing_reason,
        "links": links(approval),
    }


def request_detail_json(approval: ApprovalRequest) -> ApprovalDetailJson:
    """Render a request with all that is asked, known, said and missing."""
    decisions = approval.decisions.select_related(*RELATED)
    found = conditions(approval)
    return {
        **request_json(approval),
        "alias_generation": approval.alias_generation,
        "rollout_plan": approval.rollout_plan,
        "unmet": approval.unmet(),
        "conditions": [condition_json(one) for one in found],
        "policies": approval.policy_snapshot["policies"],
        "decisions": [decision_json(approval, decision) for decision in decisions],
        "checks": [check_json(one) for one in latest_checks(approval).values()],
        "evidence": evidence_of(approval),
    }


def condition_json(condition: Condition) -> ConditionJson:
    """Render one thing that a policy asks."""
    return {
        "kind": condition.kind,
        "words": condition.words,
        "is_met": condition.is_met,
        "have": condition.have,
        "need": condition.need,
        "until": condition.until,
        "policy": condition.policy,
    }


def decision_json(approval: ApprovalRequest, decision: Decision) -> DecisionJson:
    """Render a decision; one that does not count says why."""
    struck = standing(approval, decision)
    is_approval = decision.verdict == Verdict.APPROVE
    return {
        "id": str(decision.id),
        "decision": decision.verdict,
        "approver": decision.approver.username if decision.approver else None,
        "on_behalf_of": (
            decision.on_behalf_of.username if decision.on_behalf_of else None
        ),
        "comment": decision.comment,
        "digest": decision.digest,
        "binding": decision.binding,
        "via": decision.via,
        "decided_at": decision.decided_at,
        "counts": is_approval and not struck,
        "why_not": struck,
    }


def standing(approval: ApprovalRequest, decision: Decision) -> str:
    """Say why a decision does not count; on a closed request, why it did not."""
    if approval.is_open or decision.cleared_at:
        return why_struck(approval, decision)
    return ""


def comment_json(comment: Comment) -> CommentJson:
    """Render an entry of the thread."""
    return {
        "id": str(comment.id),
        "author": comment.author.username,
        "text": comment.text,
        "written_at": comment.written_at,
    }


def delegation_json(delegation: Delegation) -> DelegationJson:
    """Render who speaks for whom, and until when."""
    return {
        "id": str(delegation.id),
        "delegator": delegation.delegator.username,
        "delegate": delegation.delegate.username,
        "reason": delegation.reason,
        "starts_at": delegation.starts_at,
        "ends_at": delegation.ends_at,
        "revoked_at": delegation.revoked_at,
        "is_in_force": delegation.is_in_force,
    }


def timeline_entry_json(event: Event) -> TimelineEntryJson:
    """Render one thing that happened to a request."""
    return {
        "event_id": str(event.id),
        "sequence": event.sequence,
        "type": event.type,
        "at": event.created_at,
        "actor": event.actor_name,
        "data": event.data,
    }


def check_json(check: Check) -> CheckJson:
    """Render a report of a check."""
    return {
        "name": check.name,
        "passed": check.passed,
        "comment": check.comment,
        "details_url": check.details_url,
        "evidence": check.evidence,
        "reported_by": check.reported_by.username if check.reported_by else None,
        "via": check.via,
        "reported_at": check.reported_at,
    }
