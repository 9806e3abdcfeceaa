"""Whatever happens at once: exactly one application."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import connections

from access.models import User
from access.privileges import Privilege
from approvals import callbacks
from approvals import services as approvals
from approvals.models import ApprovalRequest
from core.errors import DomainError
from events.models import Event
from events.verification import verify_chain
from registry import services as registry
from registry.models import ModelVersion
from tests.factories import UserFactory

APPROVERS = 16

pytestmark = pytest.mark.django_db(transaction=True)


def _at_once(actions: list[Callable[[], object]]) -> list[object]:
    """Run all actions at the same moment; return their results or refusals."""
    barrier, results = threading.Barrier(len(actions)), []

    def run(action: Callable[[], object]) -> None:
        barrier.wait()
        try:
            results.append(action())
        except DomainError as error:
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(actions), "a thread failed"
    return results


def _approvers(use: Callable[..., None], count: int = APPROVERS) -> list[User]:
    users = [UserFactory(username=f"approver{n}") for n in range(count)]
    for user in users:
        use(user, Privilege.APPROVE)
    return users


def _approve(approval: ApprovalRequest, principal: User) -> Callable[[], object]:
    return lambda: approvals.decide(
        ApprovalRequest.objects.get(pk=approval.pk),
        "approve",
        digest=approval.digest,
        principal=principal,
    )


@pytest.mark.parametrize("quorum", [1, 2])
def test_sixteen_approvers_apply_once_in_every_round(
    version: ModelVersion,
    owner: User,
    use: Callable[..., None],
    make_version: Callable[..., ModelVersion],
    quorum: int,
) -> None:
    approvals.create_policy(
        version.model, "Champion", approvals_needed=quorum, principal=owner
    )
    users = _approvers(use)
    others = (make_version(version.model, content=content) for content in "23")
    for generation, one in enumerate([version, *others], start=1):
        approval = approvals.request_alias(
            version.model, "Champion", one, principal=owner
        )
        _approve_at_once(approval, users, quorum)
        assert registry.get_alias(version.model, "Champion").generation == generation
    assert list(verify_chain()) == []


def _approve_at_once(approval: ApprovalRequest, users: list[User], quorum: int) -> None:
    results = _at_once([_approve(approval, user) for user in users])
    refused = [one for one in results if isinstance(one, DomainError)]
    assert {one.error_code for one in refused} <= {"RESOURCE_CONFLICT"}
    assert len(refused) == APPROVERS - quorum
    said = Event.objects.filter(subject_id=approval.pk)
    types = Counter(said.values_list("type", flat=True))
    assert (types["approval.approved"], types["approval.applied"]) == (1, 1)
    assert types["approval.decided"] == approval.decisions.count() == quorum
    moves = Event.objects.filter(type="alias.set", data__digest=approval.digest)
    assert moves.count() == 1


def test_one_person_in_sixteen_tabs_decides_once(
    version: ModelVersion, owner: User, use: Callable[..., None]
) -> None:
    approvals.create_policy(
        version.model, "Champion", approvals_needed=2, principal=owner
    )
    approval = approvals.request_alias(
        version.model, "Champion", version, principal=owner
    )
    (user,) = _approvers(use, 1)
    _at_once([_approve(approval, user) for _ in range(APPROVERS)])
    assert approval.decisions.count() == 1
    approval.refresh_from_db()
    assert approval.status == "pending"


def test_requests_at_once_leave_one_open(
    version: ModelVersion, owner: User, make_version: Callable[..., ModelVersion]
) -> None:
    approvals.create_policy(version.model, "Champion", principal=owner)
    versions = [version, *(make_version(version.model, content=c) for c in "23")]
    _at_once(
        [
            lambda one=one: approvals.request_alias(
                version.model, "Champion", one, principal=owner
            )
            for one in versions * 3
        ]
    )
    states = Counter(ApprovalRequest.objects.values_list("status", flat=True))
    assert states["pending"] == 1
    assert set(states) <= {"pending", "superseded"}


def test_approve_against_cancel_has_one_winner(
    version: ModelVersion, owner: User, use: Callable[..., None]
) -> None:
    approvals.create_policy(version.model, "Champion", principal=owner)
    approval = approvals.request_alias(
        version.model, "Champion", version, principal=owner
    )
    (user,) = _approvers(use, 1)
    results = _at_once(
        [
            _approve(approval, user),
            lambda: approvals.cancel(approval, principal=owner),
        ]
    )
    assert sum(isinstance(one, DomainError) for one in results) == 1
    approval.refresh_from_db()
    moved = registry.get_alias(version.model, "Champion") is not None
    assert approval.status == ("applied" if moved else "cancelled")


def test_callback_used_by_many_reports_once(version: ModelVersion, owner: User) -> None:
    approvals.create_policy(version.model, "Champion", checks=["ci"], principal=owner)
    approval = approvals.request_alias(
        version.model, "Champion", version, principal=owner
    )
    event = Event.objects.get(type="approval.requested")
    url = callbacks.for_webhook(event, version.id, UserFactory())["callback"]["url"]
    given = callbacks.Answer(state="check", name="ci", passed=True)
    token = url.rsplit("/", 1)[1]
    answers = _at_once([lambda: callbacks.answer(token, given)] * 8)
    assert all(one == answers[0] for one in answers)
    assert approval.checks.count() == 1
