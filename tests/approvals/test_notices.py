"""Who is written to about a request, and when: once each, and only who may decide."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings
from django.core import mail as outbox
from django.utils import timezone

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import mail, notices
from approvals import services as approvals
from approvals.lifecycle import settle
from approvals.models import ApprovalRequest, Notice, NoticeStatus
from approvals.tasks import ask_reviewers, tell_requester
from events.models import Event, OutboxEntry
from registry import services as registry
from registry.models import ModelVersion
from tests.factories import GroupFactory, MembershipFactory, UserFactory

Act = Callable[..., None]
HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def _mail_is_on(settings: LazySettings) -> None:
    settings.MAIL_IS_ON = True


@pytest.fixture
def people(reviewer: User, owner: User, use: Callable[..., None]) -> dict[str, User]:
    """Everybody with an address: some may decide, and some only look as if."""
    everybody = {"reviewer": reviewer, "owner": owner}
    for name in ("second", "looker", "quiet", "gone"):
        everybody[name] = UserFactory(username=name)
    for name in ("second", "quiet", "gone"):
        use(everybody[name], Privilege.APPROVE)
    use(everybody["looker"], Privilege.EXECUTE)
    User.objects.filter(username__in=["quiet"]).update(wants_mail=False)
    User.objects.filter(username__in=["gone"]).update(is_active=False)
    for name, user in everybody.items():
        User.objects.filter(pk=user.pk).update(email=f"{name}@example.org")
    return everybody


def handle() -> None:
    """Do what a worker does with the events that call for mail."""
    tasks = {"ask_reviewers": ask_reviewers, "tell_requester": tell_requester}
    entries = OutboxEntry.objects.filter(handled_at=None).order_by("event__sequence")
    for event_id, task in entries.values_list("event_id", "task"):
        if function := tasks.get(task.rpartition(".")[2]):
            function(str(event_id))


def sent() -> list[tuple[str, str]]:
    """Send what is due; return who got what since the last look, in order."""
    mail.send_due()
    found = sorted((one.to[0].partition("@")[0], one.subject) for one in outbox.outbox)
    outbox.outbox.clear()
    return found


def test_able_reviewers_are_asked_once(
    people: dict[str, User], approval: ApprovalRequest
) -> None:
    handle()
    event = Event.objects.get(type="approval.requested")
    ask_reviewers(str(event.pk))
    what = "Please decide: prod.fraud.scorer@Champion to version 1"
    assert sent() == [("reviewer", what), ("second", what)]
    assert sent() == []
    assert set(Notice.objects.values_list("status", flat=True)) == {"sent"}


def test_members_of_a_group_are_asked(
    people: dict[str, User], version: ModelVersion, use: Callable[..., None]
) -> None:
    risk, inner = GroupFactory(username="risk"), GroupFactory(username="inner")
    member = UserFactory(username="member", email="member@example.org")
    MembershipFactory(group=risk, member=inner)
    MembershipFactory(group=inner, member=member)
    use(risk, Privilege.APPROVE)
    approvals.create_policy(
        version.model, "Champion", reviewers=[risk], principal=version.model.owner
    )
    approvals.request_alias(
        version.model, "Champion", version, principal=version.model.owner
    )
    handle()
    assert [who for who, _ in sent()] == ["member"]


def test_author_and_admin_who_asked_get_nothing_to_decide(
    people: dict[str, User], approval: ApprovalRequest, use: Callable[..., None]
) -> None:
    use(people["owner"], Privilege.APPROVE)
    handle()
    assert "owner" not in {who for who, _ in sent()}


def test_no_mail_is_written_without_a_server(
    people: dict[str, User], approval: ApprovalRequest, settings: LazySettings
) -> None:
    settings.MAIL_IS_ON = False
    handle()
    notices.remind()
    assert not Notice.objects.exists()


def test_who_decided_or_lost_the_right_meanwhile_is_spared(
    people: dict[str, User],
    version: ModelVersion,
    owner: User,
    admin: User,
    approve: Act,
) -> None:
    approvals.create_policy(
        version.model, "Champion", approvals_needed=2, principal=owner
    )
    asked = approvals.request_alias(version.model, "Champion", version, principal=owner)
    handle()
    approve(asked, people["second"])
    schema = version.model.schema
    access.revoke(schema, Privilege.APPROVE, people["reviewer"], principal=admin)
    assert sent() == []
    assert set(Notice.objects.values_list("status", flat=True)) == {"dropped"}


def test_mail_that_comes_late_about_a_closed_request_is_dropped(
    people: dict[str, User], approval: ApprovalRequest, owner: User
) -> None:
    handle()
    approvals.cancel(approval, principal=owner)
    assert sent() == []


def test_nobody_is_asked_while_only_a_check_is_missing(
    people: dict[str, User], version: ModelVersion, owner: User, approve: Act
) -> None:
    approvals.create_policy(version.model, "Champion", checks=["ci"], principal=owner)
    asked = approvals.request_alias(version.model, "Champion", version, principal=owner)
    approve(asked, people["reviewer"])
    handle()
    assert sent() == []


def test_a_reset_asks_everybody_again(
    people: dict[str, User],
    approval: ApprovalRequest,
    make_version: Callable[..., ModelVersion],
    admin: User,
) -> None:
    handle()
    assert len(sent()) == 2
    other = make_version(approval.model, content="2")
    approvals.break_glass(
        approval.model, "Champion", other, reason="the night was long", principal=admin
    )
    notices_before = Notice.objects.count()
    with pytest.raises(Exception, match="moved"):
        approvals.decide(
            approval, "approve", digest=approval.digest, principal=people["reviewer"]
        )
    handle()
    what = "Please look again: prod.fraud.scorer@Champion to version 1"
    assert sent() == [("reviewer", what), ("second", what)]
    assert Notice.objects.count() == notices_before + 2


def test_reminders_come_once_each(
    people: dict[str, User], approval: ApprovalRequest, settings: LazySettings
) -> None:
    handle()
    sent()
    moments: list[list[tuple[str, str]]] = []
    for later in (23 * HOUR, 25 * HOUR, 26 * HOUR, 145 * HOUR, 146 * HOUR):
        with time_machine.travel(approval.opened_at + later, tick=False):
            notices.remind()
            notices.remind()
            moments.append(sent())
    assert [len(found) for found in moments] == [0, 2, 0, 2, 0]
    assert moments[1][0][1].startswith("Still waiting for you: ")
    assert moments[3][0][1].startswith("Expires soon: ")


def test_who_decided_is_not_reminded(
    people: dict[str, User], version: ModelVersion, owner: User, approve: Act
) -> None:
    approvals.create_policy(
        version.model, "Champion", approvals_needed=2, principal=owner
    )
    asked = approvals.request_alias(version.model, "Champion", version, principal=owner)
    approve(asked, people["second"])
    with time_machine.travel(asked.opened_at + 25 * HOUR, tick=False):
        notices.remind()
        assert [who for who, _ in sent()] == ["reviewer"]


def test_a_short_life_is_half_over_before_the_reminder(
    people: dict[str, User], version: ModelVersion, owner: User
) -> None:
    approvals.create_policy(
        version.model, "Champion", expires_after_seconds=7200, principal=owner
    )
    asked = approvals.request_alias(version.model, "Champion", version, principal=owner)
    found = []
    for minutes in (10, 50, 70):
        moment = asked.opened_at + dt.timedelta(minutes=minutes)
        with time_machine.travel(moment, tick=False):
            notices.remind()
            found.append(len(sent()))
    assert found == [0, 0, 2]


def test_reminders_can_be_switched_off(
    people: dict[str, User], approval: ApprovalRequest, settings: LazySettings
) -> None:
    settings.REMIND_AFTER = settings.REMIND_BEFORE_EXPIRY = dt.timedelta(0)
    with time_machine.travel(approval.expires_at - HOUR, tick=False):
        notices.remind()
    assert not Notice.objects.exists()


def test_requester_hears_how_it_ended(
    people: dict[str, User], approval: ApprovalRequest, approve: Act
) -> None:
    approve(approval, people["reviewer"])
    handle()
    assert sent() == [("owner", "Applied: prod.fraud.scorer@Champion to version 1")]
    assert registry.get_alias(approval.model, "Champion") is not None


def test_requester_hears_of_a_rejection_with_its_reason(
    people: dict[str, User], approval: ApprovalRequest
) -> None:
    approvals.decide(
        approval,
        "reject",
        digest=approval.digest,
        comment="drift\r\nBcc: all@example.org",
        principal=people["reviewer"],
    )
    handle()
    mail.send_due()
    (message,) = outbox.outbox
    assert message.subject.startswith("Rejected: ")
    assert "Rejected by approver: drift Bcc: all@example.org" in message.body


def test_own_withdrawal_is_no_news(
    people: dict[str, User], approval: ApprovalRequest, owner: User
) -> None:
    approvals.cancel(approval, principal=owner)
    handle()
    assert sent() == []


def test_owner_of_a_service_principal_hears_for_it(
    people: dict[str, User], approval: ApprovalRequest, admin: User, approve: Act
) -> None:
    robot = access.create_service_principal("robot", people["looker"], principal=admin)
    ApprovalRequest.objects.update(requester=robot)
    event = Event.objects.get(type="approval.requested")
    notices.tell_requester(event)
    assert Notice.objects.get().recipient == people["looker"]


def test_several_keepers_send_once(
    people: dict[str, User], approval: ApprovalRequest
) -> None:
    """A second keeper that read the same row finds it claimed."""
    handle()
    row = Notice.objects.select_related("recipient", "request").first()
    assert mail._claim(row)
    assert not mail._claim(row)
    mail.send_due()
    assert len(outbox.outbox) == 1
    with time_machine.travel(timezone.now() + 6 * dt.timedelta(minutes=1)):
        mail.send_due()
    assert len(outbox.outbox) == 2
    assert Notice.objects.filter(status=NoticeStatus.SENT).count() == 2


def test_service_of_mail_settings_is_for_oneself_and_admins(
    owner: User, stranger: User, admin: User
) -> None:
    def change(user: User, principal: User, **more: Any) -> User:
        given = {"email": "owner@example.org", "wants_mail": False, **more}
        return access.change_mail(user, **given, principal=principal)

    change(owner, owner)
    change(owner, admin, email="")
    owner.refresh_from_db()
    assert (owner.email, owner.wants_mail) == ("", False)
    with pytest.raises(Exception, match="Only an admin"):
        change(owner, stranger)
    with pytest.raises(Exception, match="people get mail"):
        change(GroupFactory(), admin)
    for wrong in ("nobody", "a@b\nBcc: c@d.org", "a@b.org,c@d.org", "x" * 300):
        with pytest.raises(Exception, match="email must be an address"):
            change(owner, owner, email=wrong)
    events = Event.objects.filter(type="principal.updated").order_by("sequence")
    assert [event.data for event in events] == [
        {"has_email": True, "wants_mail": False},
        {"has_email": False, "wants_mail": False},
    ]


def delegate(to: User, principal: User) -> None:
    approvals.delegate_approvals(
        to, ends_at=timezone.now() + 24 * HOUR, principal=principal
    )


def test_delegate_who_sees_the_model_is_asked(
    people: dict[str, User], approval: ApprovalRequest, stranger: User
) -> None:
    User.objects.filter(pk=stranger.pk).update(email="stranger@example.org")
    delegate(people["looker"], people["second"])
    delegate(stranger, people["second"])
    handle()
    assert [who for who, _ in sent()] == ["looker", "reviewer", "second"]


def test_taken_back_approval_asks_the_others_again(
    people: dict[str, User], version: ModelVersion, owner: User, approve: Act
) -> None:
    approvals.create_policy(version.model, "Champion", checks=["ci"], principal=owner)
    asked = approvals.request_alias(version.model, "Champion", version, principal=owner)
    approve(asked, people["second"])
    handle()
    assert sent() == []
    approvals.revoke_decision(asked.decisions.get(), principal=people["second"])
    handle()
    what = "Please look again: prod.fraud.scorer@Champion to version 1"
    assert sent() == [("reviewer", what)]


def test_tighter_policy_asks_for_another_look(
    people: dict[str, User], approval: ApprovalRequest, owner: User
) -> None:
    handle()
    assert len(sent()) == 2
    approvals.create_policy(
        approval.model, "Champion", approvals_needed=2, principal=owner
    )
    settle(approval)
    handle()
    assert [who for who, _ in sent()] == ["reviewer", "second"]
