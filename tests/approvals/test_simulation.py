"""Past requests are replayed under a draft, the same way every time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.drafts import CheckRule, Draft, ReviewerRule
from approvals.models import ApprovalRequest, Policy
from approvals.simulation import Outcome, simulate_policy
from events.models import Event
from registry.models import ModelVersion
from tests.factories import GroupFactory, MembershipFactory, UserFactory

Act = Callable[..., Any]


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel("2026-07-17T12:00:00Z", tick=False) as travelled:
        yield travelled


@pytest.fixture
def applied(
    clock: Any, approval: ApprovalRequest, reviewer: User, approve: Act
) -> ApprovalRequest:
    """Asked for on a Friday at noon, applied an hour later."""
    clock.shift(3600)
    approve(approval, reviewer)
    return approval


@pytest.fixture
def replay(owner: User) -> Act:
    def run(approval: ApprovalRequest, **terms: Any) -> Outcome:
        draft = Draft("Champion", **terms)
        (outcome,) = simulate_policy(approval.model, draft, principal=owner).outcomes
        again = simulate_policy(approval.model, draft, principal=owner).outcomes
        assert again == [outcome]
        return outcome

    return run


def test_the_same_terms_differ_in_nothing(applied: Any, replay: Act) -> None:
    outcome = replay(applied)
    assert (outcome.would, outcome.differs, outcome.why) == ("applied", False, [])


def test_nothing_is_written(applied: Any, replay: Act) -> None:
    before = (Policy.objects.count(), Event.objects.count())
    replay(applied, rules=(ReviewerRule(2),))
    assert (Policy.objects.count(), Event.objects.count()) == before


def test_wait_and_freeze_would_apply_it_later(applied: Any, replay: Act) -> None:
    outcome = replay(applied, wait_seconds=7200)
    assert (outcome.would, outcome.differs) == ("applied", True)
    assert outcome.would_at == dt.datetime(2026, 7, 17, 14, tzinfo=dt.UTC)
    assert outcome.why == ["2 hours must pass, until 17 July 2026, 14:00 UTC"]
    friday = {"days": ["fri"], "from": "10:00", "to": "24:00", "zone": "UTC"}
    outcome = replay(applied, freezes=(friday,))
    assert outcome.would_at == dt.datetime(2026, 7, 18, tzinfo=dt.UTC)


def test_missing_check_would_hold_it_until_it_expires(
    applied: Any, replay: Act, clock: Any
) -> None:
    terms = {"checks": (CheckRule("ci"),), "expires_after_seconds": 86400}
    assert replay(applied, **terms).would == "waiting"
    clock.shift(86400)
    outcome = replay(applied, **terms)
    assert (outcome.would, outcome.why) == ("expired", ["check ci has not reported"])


def test_other_reviewers_would_be_missing(applied: Any, replay: Act) -> None:
    risk = GroupFactory(username="risk")
    for _ in range(2):
        MembershipFactory(group=risk)
    outcome = replay(applied, rules=(ReviewerRule(2, (risk,)),))
    assert outcome.why == ["2 more approvals by one of risk"]


def test_loosened_policy_would_have_applied_it_earlier(
    clock: Any,
    version: ModelVersion,
    owner: User,
    use: Act,
    approve: Act,
    replay: Act,
) -> None:
    approvals.put_policy(
        version.model, Draft("Champion", rules=(ReviewerRule(2),)), principal=owner
    )
    approval = approvals.request_alias(
        version.model, "Champion", version, principal=owner
    )
    for name in ("one", "two"):
        clock.shift(600)
        person = UserFactory(username=name)
        use(person, Privilege.APPROVE)
        approve(approval, person)
    outcome = replay(approval)
    assert (outcome.actual, outcome.would, outcome.differs) == (
        "applied",
        "applied",
        True,
    )
    assert outcome.would_at == dt.datetime(2026, 7, 17, 12, 10, tzinfo=dt.UTC)


def test_one_reject_of_two_would_not_have_closed_it(
    approval: ApprovalRequest, reviewer: User, replay: Act
) -> None:
    approvals.decide(approval, "reject", digest=approval.digest, principal=reviewer)
    outcome = replay(approval, rejects_needed=2)
    assert (outcome.actual, outcome.would) == ("rejected", "waiting")


def test_withdrawn_stays_withdrawn(
    approval: ApprovalRequest, owner: User, replay: Act
) -> None:
    approvals.cancel(approval, principal=owner)
    outcome = replay(approval, checks=(CheckRule("ci"),))
    assert (outcome.would, outcome.differs) == ("cancelled", False)
