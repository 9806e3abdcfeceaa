"""Replay past requests under a policy that is only a draft: what would differ?

Facts are taken as they were recorded: decisions, reports and times. Groups and
metrics are taken as they are now, for their past is not kept; a decision that was
recorded has passed four eyes already. Nothing is written, and the same rows give
the same answer.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from django.db.models import Q
from django.utils import timezone

from access.authz import require
from access.facts import settled_principals_of
from access.models import User
from access.privileges import Privilege
from access.securables import Securable
from approvals import drafts
from approvals.drafts import Draft
from approvals.evaluation import Baseline, Facts, Vote, conditions_of
from approvals.models import (
    ApprovalRequest,
    Decision,
    Policy,
    RequestStatus,
    Verdict,
)
from approvals.policies import cooling_of, matches, scope_field
from approvals.rules import freeze
from registry.metrics import metrics_of

S = RequestStatus
# ended by what no policy has a say in
_BY_OTHERS = (S.CANCELLED, S.SUPERSEDED, S.INVALIDATED, S.FAILED, S.STALE)
_WAITING = "waiting"
_MOST_MOMENTS = 500
# how far back requests for the aliases are looked for
_MOST_REQUESTS = 10_000


@dataclass(frozen=True)
class Outcome:
    """How one past request ended, and how it would have under the draft."""

    approval: ApprovalRequest
    actual: str
    actual_at: dt.datetime | None
    would: str
    would_at: dt.datetime | None
    differs: bool
    why: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Replay:
    """All outcomes, the newest request first."""

    outcomes: list[Outcome]

    @property
    def differing(self) -> int:
        return sum(outcome.differs for outcome in self.outcomes)


def simulate_policy(
    scope: Securable, draft: Draft, *, last: int = 20, principal: User
) -> Replay:
    """Replay the last requests within a scope for aliases that the draft protects.

    Needs MANAGE of the scope, as putting the policy would. Only the draft is held
    against them, not the policies around it.
    """
    require(principal, Privilege.MANAGE, scope)
    drafts.check(draft)
    policy = draft.as_policy(scope)
    within = {
        "model": Q(model=scope),
        "schema": Q(model__schema=scope),
        "catalog": Q(model__schema__catalog=scope),
    }[scope_field(scope)]
    rows = ApprovalRequest.objects.filter(within).select_related(
        "model__schema__catalog", "version", "previous_version"
    )
    recent = rows[:_MOST_REQUESTS].iterator(100)
    found = (one for one in recent if matches(policy, one.alias))
    chosen = [approval for _, approval in zip(range(last), found, strict=False)]
    return Replay([_replay(policy, approval) for approval in chosen])


def _replay(policy: Policy, approval: ApprovalRequest) -> Outcome:
    past = _Past(policy, approval)
    expiry = approval.opened_at + policy.expires_after
    for moment in past.moments(expiry):
        if past.rejects(moment) >= policy.rejects_needed:
            return past.outcome(S.REJECTED, moment, [past.who_rejected(moment)])
        if not past.unmet(moment):
            return past.outcome(S.APPLIED, moment, past.why_then(moment))
    if approval.status in _BY_OTHERS:
        return past.outcome(approval.status, approval.closed_at, [])
    missing = past.unmet(min(expiry, past.end))
    if expiry <= timezone.now():
        return past.outcome(S.EXPIRED, expiry, missing)
    return past.outcome(_WAITING, None, missing)


class _Past:
    """What was known of a request at each moment of its life."""

    def __init__(self, policy: Policy, approval: ApprovalRequest) -> None:
        self.policy, self.approval = policy, approval
        rows = approval.decisions.select_related(
            "approver__owner", "on_behalf_of__owner"
        )
        self.decisions = list(rows.order_by("decided_at"))
        self.checks = list(approval.checks.order_by("reported_at"))
        said = [one.decided_at for one in self.decisions]
        reported = [one.reported_at for one in self.checks]
        closed = approval.closed_at or timezone.now()
        self.end = max([closed, *said, *reported])
        self._metrics = cache(lambda: metrics_of(approval.version))
        self._baseline = cache(self._previous)
        self._groups = cache(self._groups_of)

    def moments(self, expiry: dt.datetime) -> Iterator[dt.datetime]:
        """Yield, in order, when something was said or a wait or freeze was over."""
        approval = self.approval
        said = {approval.opened_at, *(one.decided_at for one in self.decisions)}
        said |= {one.reported_at for one in self.checks}
        said.add(approval.opened_at + dt.timedelta(seconds=self.policy.wait_seconds))
        windows = [freeze.parse(window) for window in self.policy.freezes]
        ends = {freeze.frozen_until(windows, moment) for moment in said}
        last = expiry
        if approval.status in _BY_OTHERS and approval.closed_at:
            last = min(expiry, approval.closed_at)
        known = sorted(said | {end for end in ends if end})
        yield from [moment for moment in known if moment < last][:_MOST_MOMENTS]

    def rejects(self, moment: dt.datetime) -> int:
        return len({one.person_id for one in self._said(Verdict.REJECT, moment)})

    def who_rejected(self, moment: dt.datetime) -> str:
        said = self._said(Verdict.REJECT, moment)
        names = [
            one.approver.username if one.approver else "a callback" for one in said
        ]
        return f"rejected by {', '.join(names)}"

    def unmet(self, moment: dt.datetime) -> list[str]:
        """Return in words what the draft would have missed at a moment."""
        found = conditions_of(self.policy, self._facts(moment))
        return [one.words for one in found if not one.is_met]

    def why_then(self, moment: dt.datetime) -> list[str]:
        """Say why a request would have been applied at another moment than it was."""
        closed = self.approval.closed_at or self.end
        if moment > closed:
            return self.unmet(closed)
        if self.approval.status == S.REJECTED:
            return [f"{self.who_rejected(closed)}, which is not enough to reject it"]
        return ["nothing was missing any more by then"]

    def outcome(self, would: str, at: dt.datetime | None, why: list[str]) -> Outcome:
        """Compare with what happened; a moment counts as another one only when
        something was said in between."""
        one = self.approval
        actual = _WAITING if one.is_open else str(one.status)
        differs = actual != would or (
            would == S.APPLIED and not self._is_same_moment(at, one.closed_at)
        )
        if not differs:
            return Outcome(one, actual, one.closed_at, actual, one.closed_at, False)
        return Outcome(one, actual, one.closed_at, str(would), at, True, why)

    def _is_same_moment(
        self, would: dt.datetime | None, at: dt.datetime | None
    ) -> bool:
        if would is None or at is None or would > at:
            return False
        said = [one.decided_at for one in self.decisions]
        said += [one.reported_at for one in self.checks]
        return not any(would < moment <= at for moment in said)

    def _facts(self, moment: dt.datetime) -> Facts:
        return Facts(
            moment,
            self.approval.opened_at,
            self._votes(moment),
            [one for one in self.checks if one.reported_at <= moment],
            self._metrics,
            self._baseline,
        )

    def _said(self, verdict: Verdict, moment: dt.datetime) -> list[Decision]:
        return [
            one
            for one in self.decisions
            if one.verdict == verdict
            and one.decided_at <= moment
            and (one.cleared_at is None or one.cleared_at > moment)
        ]

    def _votes(self, moment: dt.datetime) -> list[Vote]:
        """Return one vote for each person, in the groups of all they spoke for."""
        groups: dict[uuid.UUID | None, frozenset[uuid.UUID]] = {}
        for one in self._said(Verdict.APPROVE, moment):
            before = groups.get(one.person_id, frozenset())
            groups[one.person_id] = before | self._groups(one)
        return [Vote(person, found) for person, found in groups.items()]

    def _groups_of(self, decision: Decision) -> frozenset[uuid.UUID]:
        if decision.reviewer is None:
            return frozenset()
        since = decision.decided_at - cooling_of([self.policy])
        return frozenset(settled_principals_of(decision.reviewer, since))

    def _previous(self, alias: str) -> Baseline | None:
        """Return what the alias pointed at then; of other aliases nothing is known."""
        before = self.approval.previous_version
        if before is None or alias.lower() != self.approval.alias.lower():
            return None
        name = f"{self.approval.alias} (version {before.number})"
        return Baseline(name, metrics_of(before))
