"""What a policy may ask for, and that a request waits until it is so."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from mlflow.entities import Metric

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import callbacks, gate
from approvals import services as approvals
from approvals.drafts import CheckRule, Draft, ReviewerRule
from approvals.models import ApprovalRequest
from core.errors import PermissionDenied
from events.models import Event
from registry import services as registry
from registry.models import ModelVersion
from registry.store import tracking_store
from tests.factories import GroupFactory, MembershipFactory, UserFactory

Act = Callable[..., Any]
FRIDAY_EVENING = {"days": ["fri"], "from": "16:00", "to": "24:00", "zone": "UTC"}


@pytest.fixture
def ask(version: ModelVersion, owner: User) -> Act:
    """Protect Champion as said, and ask for it."""

    def ask_for(**terms: Any) -> ApprovalRequest:
        approvals.put_policy(version.model, Draft("Champion", **terms), principal=owner)
        return approvals.request_alias(
            version.model, "Champion", version, principal=owner
        )

    return ask_for


@pytest.fixture
def people(use: Act) -> Callable[[str], User]:
    """Make somebody who holds APPROVE, in the groups that are named."""

    def make(name: str, *groups: User) -> User:
        user = UserFactory(username=name)
        use(user, Privilege.APPROVE, Privilege.EXECUTE)
        for group in groups:
            MembershipFactory(group=group, member=user)
        return user

    return make


@pytest.fixture
def risk(db: None) -> User:
    return GroupFactory(username="risk")


@pytest.fixture
def platform(db: None) -> User:
    return GroupFactory(username="platform")


def _two_and_one(risk: User, platform: User) -> tuple[ReviewerRule, ...]:
    return (ReviewerRule(2, (risk,)), ReviewerRule(1, (platform,)))


def test_two_of_risk_and_one_of_platform(
    ask: Act, people: Act, approve: Act, risk: User, platform: User
) -> None:
    both = people("both", risk, platform)
    one, two = (people(name, risk) for name in ("one", "two"))
    approval = ask(rules=_two_and_one(risk, platform))
    approve(approval, both)
    assert approval.unmet() == [
        "1 more approval by one of risk",
        "1 more approval by one of platform",
    ]
    approve(approval, one)
    assert approval.unmet() == ["1 more approval by one of platform"]
    approve(approval, two)
    assert approval.status == "applied"


def test_one_person_may_count_for_several_rules_where_it_is_said(
    ask: Act, people: Act, approve: Act, risk: User, platform: User
) -> None:
    both, one = people("both", risk, platform), people("one", risk)
    approval = ask(rules=_two_and_one(risk, platform), distinct_reviewers=False)
    approve(approval, both)
    assert approval.unmet() == ["1 more approval by one of risk"]
    approve(approval, one)
    assert approval.status == "applied"


def test_as_many_rejects_as_are_needed_close_it(
    ask: Act, people: Act, approve: Act
) -> None:
    approval = ask(rejects_needed=2, rules=(ReviewerRule(3),))
    for name in ("one", "two"):
        approval.refresh_from_db()
        assert approval.status == "pending"
        approvals.decide(
            approval, "reject", digest=approval.digest, principal=people(name)
        )
    approval.refresh_from_db()
    assert approval.status == "rejected"


def test_who_joined_the_reviewers_just_now_does_not_count(
    ask: Act, people: Act, approve: Act, risk: User, admin: User
) -> None:
    people("settled", risk)
    newcomer = people("newcomer")
    access.add_member(risk, newcomer, principal=admin)
    approval = ask(rules=(ReviewerRule(1, (risk,)),))
    with pytest.raises(PermissionDenied, match="joined the reviewers only just now"):
        approve(approval, newcomer)
    with time_machine.travel(timezone.now() + dt.timedelta(hours=25), tick=False):
        approve(approval, newcomer)
    assert approval.status == "applied"


def test_who_joined_a_group_with_approve_just_now_does_not_count(
    ask: Act, approve: Act, use: Act, risk: User, stranger: User, admin: User
) -> None:
    use(risk, Privilege.APPROVE)
    access.add_member(risk, stranger, principal=admin)
    approval = ask()
    with pytest.raises(PermissionDenied, match="came to APPROVE"):
        approve(approval, stranger)


def test_own_grant_of_approve_does_not_count(
    ask: Act, approve: Act, use: Act, version: ModelVersion, grantee: User, admin: User
) -> None:
    use(grantee, Privilege.MANAGE)
    robot = access.create_service_principal("robot", grantee, principal=admin)
    use(robot)
    for holder in (robot, grantee):
        access.grant(version.model, Privilege.APPROVE, holder, principal=grantee)
    approval = ask()
    for principal in (robot, grantee):
        with pytest.raises(PermissionDenied, match="own grant"):
            approve(approval, principal)


def test_policy_may_ask_for_longer_cooling(
    ask: Act, people: Act, approve: Act, risk: User
) -> None:
    member = people("member")
    MembershipFactory(group=risk, member=member)
    approval = ask(rules=(ReviewerRule(1, (risk,)),), cooling_seconds=3 * 86400)
    with pytest.raises(PermissionDenied, match="only just now"):
        approve(approval, member)


def test_membership_is_asked_again_when_it_is_applied(
    ask: Act, people: Act, approve: Act, risk: User, admin: User
) -> None:
    one, two = people("one", risk), people("two", risk)
    approval = ask(rules=(ReviewerRule(2, (risk,)),))
    approve(approval, one)
    access.remove_member(risk, one, principal=admin)
    access.add_member(risk, one, principal=admin)
    approve(approval, two)
    assert approval.unmet() == ["1 more approval by one of risk"]


def test_stale_check_waits_and_says_so(
    ask: Act, people: Act, approve: Act, report: Act
) -> None:
    ci, reviewer = people("ci"), people("reviewer")
    with time_machine.travel("2026-07-15T12:00:00Z", tick=False) as clock:
        approval = ask(checks=(CheckRule("drift", max_age_seconds=3600),))
        report(approval, "drift", ci)
        clock.shift(3601)
        approve(approval, reviewer)
        assert approval.unmet() == [
            "check drift is stale: it reported at 15 July 2026, 12:00 UTC and holds for "
            "1 hour; report it again"
        ]
        report(approval, "drift", ci)
    assert approval.status == "applied"


def test_only_the_named_reporter_counts(
    ask: Act, people: Act, approve: Act, report: Act, use: Act, admin: User
) -> None:
    keeper = people("keeper")
    robot = access.create_service_principal("robot", keeper, principal=admin)
    use(robot, Privilege.EXECUTE)
    approval = ask(checks=(CheckRule("scan", reporter=robot),))
    approve(approval, people("reviewer"))
    report(approval, "scan", people("impostor"))
    opened = Event.objects.get(type="approval.requested")
    sent = callbacks.for_webhook(opened, approval.version_id, people("webhook"))
    token = sent["callback"]["url"].rsplit("/", 1)[1]
    callbacks.answer(token, callbacks.Answer(state="check", name="scan", passed=True))
    assert approval.unmet() == ["check scan has not been reported by robot"]
    report(approval, "scan", robot)
    assert approval.status == "applied"


def _experiment() -> str:
    return str(tracking_store().create_experiment(f"training {uuid.uuid4()}"))


def _record(version: ModelVersion, **metrics: float) -> None:
    """Give a version an MLflow run with metrics."""
    store = tracking_store()
    run = store.create_run(_experiment(), "somebody", 0, [], "train")
    for name, value in metrics.items():
        store.log_metric(run.info.run_id, Metric(name, value, 0, 0))
    version.mlflow_run_id = run.info.run_id
    version.save(update_fields=["mlflow_run_id"])


def test_metric_rules_are_evaluated_live(
    ask: Act,
    people: Act,
    approve: Act,
    version: ModelVersion,
    owner: User,
    make_version: Act,
) -> None:
    _record(version, accuracy=0.93)
    registry.set_alias(version.model, "Champion", version, principal=owner)
    second = make_version(version.model, content="2")
    approvals.put_policy(
        version.model,
        Draft(
            "Champion",
            metrics=("accuracy >= 0.9", "accuracy not worse than Champion by 0.01"),
        ),
        principal=owner,
    )
    approval = approvals.request_alias(
        version.model, "Champion", second, principal=owner
    )
    assert approval.unmet()[1:] == [
        "metric accuracy >= 0.9: no metric accuracy is recorded for it",
        "metric accuracy not worse than Champion by 0.01: no metric accuracy is "
        "recorded for it",
    ]
    _record(second, accuracy=0.91)
    approval = ApprovalRequest.objects.get(pk=approval.pk)
    assert approval.unmet()[1:] == [
        "metric accuracy not worse than Champion by 0.01: 0.91, Champion (version 1) "
        "has 0.93"
    ]
    _record(second, accuracy=0.92)
    approve(ApprovalRequest.objects.get(pk=approval.pk), people("reviewer"))
    approval.refresh_from_db()
    assert approval.status == "applied"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_metric_that_is_no_number_never_passes(
    ask: Act, version: ModelVersion, value: float
) -> None:
    _record(version, loss=value)
    approval = ask(metrics=("loss <= 0.5", "loss >= -1"))
    assert len(approval.unmet()) == 3


def test_nan_of_a_logged_model_is_not_taken_for_zero(
    ask: Act, version: ModelVersion
) -> None:
    store = tracking_store()
    run = store.create_run(_experiment(), "somebody", 0, [], "train")
    logged = store.create_logged_model(run.info.experiment_id, "m", run.info.run_id)
    nan = Metric("loss", float("nan"), 0, 0, model_id=logged.model_id)
    store.log_metric(run.info.run_id, nan)
    version.logged_model_id = logged.model_id
    version.save(update_fields=["logged_model_id"])
    approval = ask(metrics=("loss <= 0.5",))
    assert approval.unmet()[1] == "metric loss <= 0.5: loss is not a number"


def test_wait_and_freeze_say_until_when(ask: Act, people: Act, approve: Act) -> None:
    with time_machine.travel("2026-07-17T17:00:00Z", tick=False):
        approval = ask(
            wait_seconds=7200, freezes=({**FRIDAY_EVENING, "name": "Weekend"},)
        )
        approve(approval, people("reviewer"))
        quorum, wait, freeze = gate.conditions(approval)
        assert approval.unmet() == [
            "2 hours must pass, until 17 July 2026, 19:00 UTC",
            "frozen (Weekend) until 18 July 2026, 00:00 UTC",
        ]
    assert (quorum.is_met, quorum.have) == (True, 1)
    assert wait.until == dt.datetime(2026, 7, 17, 19, tzinfo=dt.UTC)
    assert freeze.until == dt.datetime(2026, 7, 18, tzinfo=dt.UTC)


def test_stricter_of_two_policies_counts_in_everything(
    version: ModelVersion, owner: User, admin: User, people: Act
) -> None:
    above = Draft(
        "*", wait_seconds=60, expires_after_seconds=3600, cooling_seconds=3 * 86400
    )
    approvals.put_policy(version.model.schema, above, principal=admin)
    nearer = Draft(
        "Champion",
        rejects_needed=2,
        expires_after_seconds=30 * 86400,
        freezes=(FRIDAY_EVENING,),
    )
    approvals.put_policy(version.model, nearer, principal=owner)
    with time_machine.travel("2026-07-17T17:00:00Z", tick=False):
        approval = approvals.request_alias(
            version.model, "Champion", version, principal=owner
        )
        kinds = {one.kind for one in gate.conditions(approval) if not one.is_met}
        assert approval.expires_at - approval.opened_at == dt.timedelta(hours=1)
        approvals.decide(
            approval, "reject", digest=approval.digest, principal=people("reviewer")
        )
    assert kinds == {"approvals", "wait", "freeze"}
    approval.refresh_from_db()
    assert approval.status == "rejected"


def test_longer_cooling_holds_for_who_asks_too(
    version: ModelVersion, owner: User, admin: User, grantee: User, use: Act
) -> None:
    use(grantee, Privilege.EXECUTE)
    draft = Draft("Champion", cooling_seconds=3 * 86400)
    approvals.put_policy(version.model, draft, principal=owner)
    access.transfer_ownership(version.model, grantee, principal=owner)
    version.model.refresh_from_db()
    with (
        time_machine.travel(timezone.now() + dt.timedelta(days=2)),
        pytest.raises(PermissionDenied, match="less than 72 hours ago"),
    ):
        approvals.request_alias(version.model, "Champion", version, principal=grantee)
