"""What the page of an approval request shows, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.dateparse import parse_datetime

from access.models import User
from approvals import gate, reads
from approvals import services as approvals
from approvals.evidence import evidence_of
from approvals.models import ApprovalRequest, Check, Decision
from approvals.rendering import standing
from console.words import percent_of


@dataclass(frozen=True)
class CheckLine:
    """A check that the policy requires or somebody reported, with its last report."""

    name: str
    report: Check | None

    @property
    def state(self) -> str:
        if self.report is None:
            return "pending"
        return "passed" if self.report.passed else "failed"


@dataclass(frozen=True)
class DecisionLine:
    """A decision; struck out with the reason, or to be taken back by who looks."""

    decision: Decision
    struck: str
    may_revoke: bool


@dataclass(frozen=True)
class MetricLine:
    """One metric of both versions as text, with its difference."""

    name: str
    champion: str
    candidate: str
    delta: str

    @property
    def differs(self) -> bool:
        return self.champion != self.candidate


def checks_of(approval: ApprovalRequest) -> list[CheckLine]:
    """Return every check that is asked for or was reported."""
    latest = gate.latest_checks(approval)
    policies = approval.policy_snapshot.get("policies", [])
    required = [check["name"] for policy in policies for check in policy["checks"]]
    names = dict.fromkeys([*required, *latest])
    return [CheckLine(name, latest.get(name)) for name in names]


def decisions_of(approval: ApprovalRequest, person: User) -> list[DecisionLine]:
    """Return every decision, also those that count no more."""
    rows = approval.decisions.select_related(*gate.RELATED)
    return [_decision_line(approval, decision, person) for decision in rows]


def _decision_line(
    approval: ApprovalRequest, decision: Decision, person: User
) -> DecisionLine:
    mine = person.person.pk in (decision.person_id, decision.on_behalf_of_id)
    may_revoke = mine and approval.is_open and decision.cleared_at is None
    return DecisionLine(decision, standing(approval, decision), may_revoke)


def voices_of(approval: ApprovalRequest, person: User) -> list[User]:
    """Return in whose names a person may decide now: their own, or a reviewer's."""
    held = list(approvals.delegations_held_by(principal=person))
    return reads.voices_of(approval, person, held)


def why_silent(approval: ApprovalRequest, person: User) -> str:
    """Say why a person gets no form."""
    rows = approval.decisions.filter(cleared_at=None)
    if earlier := rows.filter(person=person.person).first():
        return f"You decided: {earlier.verdict}. Take that back to decide anew."
    return gate.why_not(approval, person) or "It was decided in your name already."


def evidence_shown(approval: ApprovalRequest) -> dict[str, Any]:
    """Return the evidence with its numbers as text, what differs first."""
    found = evidence_of(approval)
    metrics = [
        MetricLine(
            one["name"],
            _said(one["champion"]),
            _said(one["candidate"]),
            _said(one["delta"], "+.6g"),
        )
        for one in found["metrics"]
    ]
    shown: dict[str, Any] = dict(found)
    shown["collected_at"] = parse_datetime(found["collected_at"])
    shown["metrics"] = sorted(metrics, key=lambda line: not line.differs)
    return shown


def plan_lines(plan: dict[str, Any]) -> list[str]:
    """Say the steps of a rollout plan."""
    return [_step(step) for step in plan.get("steps", [])]


def _step(step: dict[str, Any]) -> str:
    if "weight" not in step:
        return "pause until somebody promotes"
    return f"{percent_of(step['weight'])} for {step['min_duration_seconds']} s"


def _said(value: float | str | None, form: str = ".6g") -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else format(value, form)
