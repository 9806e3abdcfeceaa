"""One-time callbacks: bound to a request, used once, posted to."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client

from access.models import User
from approvals import callbacks
from approvals import services as approvals
from approvals.models import ApprovalRequest, Callback
from events.models import Event
from registry import artifacts
from registry import services as registry
from registry.models import ModelVersion
from tests.factories import UserFactory

WEBHOOK = uuid.UUID(int=7)
GREEN = {"state": "check", "name": "ci", "passed": True}

Act = Callable[..., None]


@pytest.fixture
def checked(version: ModelVersion, owner: User) -> ApprovalRequest:
    """A request that needs one approval and the check `ci`."""
    approvals.create_policy(version.model, "Champion", checks=["ci"], principal=owner)
    return approvals.request_alias(version.model, "Champion", version, principal=owner)


@pytest.fixture
def trusting(version: ModelVersion, admin: User, owner: User) -> ApprovalRequest:
    """A request that a callback may approve."""
    approvals.create_policy(
        version.model, "Champion", callback_may_approve=True, principal=admin
    )
    return approvals.request_alias(version.model, "Champion", version, principal=owner)


def _somebody() -> User:
    return User.objects.filter(username="subscriber").first() or UserFactory(
        username="subscriber"
    )


def _url(webhook_id: uuid.UUID = WEBHOOK) -> str:
    event = Event.objects.get(type="approval.requested")
    given = callbacks.for_webhook(event, webhook_id, _somebody())["callback"]
    return "/api" + given["url"].split("/api", 1)[1]


def _post(client: Client, url: str, body: dict[str, Any]) -> Any:
    return client.post(url, body, content_type="application/json")


def test_token_is_derived_again_and_never_stored(checked: ApprovalRequest) -> None:
    token = _url().rsplit("/", 1)[1]
    assert _url().endswith(token)
    stored = Callback.objects.get()
    assert token not in str(stored.__dict__)
    assert stored.expires_at == checked.expires_at
    assert _url(uuid.UUID(int=8)) != _url()


def test_check_by_callback_then_approval_applies(
    checked: ApprovalRequest, client: Client, reviewer: User, approve: Act
) -> None:
    answered = _post(client, _url(), {**GREEN, "evidence": {"auc": 0.93}})
    assert answered.status_code == 200
    assert answered.json() == {
        "request_id": str(checked.id),
        "state": "check",
        "status": "pending",
        "unmet": ["1 more approval by somebody with APPROVE"],
    }
    check = checked.checks.get()
    assert (check.via, check.reported_by, check.evidence) == (
        "callback",
        None,
        {"auc": 0.93},
    )
    approve(checked, reviewer)
    assert checked.status == "applied"


def test_check_by_callback_applies_when_it_was_the_last_condition(
    checked: ApprovalRequest, client: Client, reviewer: User, approve: Act
) -> None:
    approve(checked, reviewer)
    assert _post(client, _url(), GREEN).json()["status"] == "applied"
    assert registry.get_alias(checked.model, "Champion").version == checked.version


def test_replay_gets_the_first_answer_and_changes_nothing(
    checked: ApprovalRequest, client: Client
) -> None:
    first = _post(client, _url(), GREEN)
    again = _post(client, _url(), {**GREEN, "passed": False})
    assert (again.status_code, again.json()) == (200, first.json())
    assert checked.checks.count() == 1


def test_replay_after_close_still_gets_the_first_answer(
    checked: ApprovalRequest, client: Client, owner: User
) -> None:
    url = _url()
    first = _post(client, url, GREEN)
    approvals.cancel(checked, principal=owner)
    again = _post(client, url, GREEN)
    assert (again.status_code, again.json()) == (200, first.json())


def test_unused_callback_is_gone_after_close(
    checked: ApprovalRequest, client: Client, owner: User
) -> None:
    url = _url()
    approvals.cancel(checked, principal=owner)
    answered = _post(client, url, GREEN)
    assert answered.status_code == 410
    assert "cancelled" in answered.json()["message"]


def test_callback_is_gone_after_expiry(
    checked: ApprovalRequest, client: Client
) -> None:
    url = _url()
    with time_machine.travel(checked.expires_at, tick=False):
        assert _post(client, url, GREEN).status_code == 410
    checked.refresh_from_db()
    assert checked.status == "expired"


def test_closed_request_hands_out_no_callback(
    checked: ApprovalRequest, owner: User
) -> None:
    approvals.cancel(checked, principal=owner)
    event = Event.objects.get(type="approval.requested")
    assert callbacks.for_webhook(event, WEBHOOK, _somebody()) == {}


def test_webhook_of_the_owner_gets_no_callback(
    checked: ApprovalRequest, owner: User
) -> None:
    event = Event.objects.get(type="approval.requested")
    assert callbacks.for_webhook(event, WEBHOOK, owner) == {}


@pytest.mark.parametrize("method", ["get", "head", "put", "delete"])
def test_only_post_decides(
    checked: ApprovalRequest, client: Client, method: str
) -> None:
    assert getattr(client, method)(_url()).status_code == 405
    assert Callback.objects.get().used_at is None


def test_unknown_or_truncated_token_is_not_found(
    checked: ApprovalRequest, client: Client
) -> None:
    for url in ("/api/v1/callbacks/glcb_x", _url()[:-1]):
        assert _post(client, url, GREEN).status_code == 404


def test_callback_may_reject(checked: ApprovalRequest, client: Client) -> None:
    body = {"state": "rejected", "comment": "drift"}
    assert _post(client, _url(), body).json()["status"] == "rejected"
    checked.refresh_from_db()
    assert checked.closing_reason == "Rejected by a callback: drift"


def test_callback_may_not_approve_unless_the_policy_says_so(
    checked: ApprovalRequest, client: Client
) -> None:
    answered = _post(client, _url(), {"state": "approved"})
    assert answered.status_code == 403
    assert answered.json()["details"]["unmet"] == checked.unmet()
    assert Callback.objects.get().used_at is None


def test_trusted_callback_approves(trusting: ApprovalRequest, client: Client) -> None:
    assert _post(client, _url(), {"state": "approved"}).json()["status"] == "applied"
    assert trusting.decisions.get().via == "callback"


def test_several_callbacks_count_as_one_approver(
    version: ModelVersion, admin: User, owner: User, client: Client
) -> None:
    approvals.create_policy(
        version.model,
        "Champion",
        approvals_needed=2,
        callback_may_approve=True,
        principal=admin,
    )
    approvals.request_alias(version.model, "Champion", version, principal=owner)
    for number in (1, 2):
        answered = _post(client, _url(uuid.UUID(int=number)), {"state": "approved"})
        assert answered.json()["status"] == "pending"


def test_wrong_digest_leaves_the_token_unused(
    checked: ApprovalRequest, client: Client
) -> None:
    answered = _post(client, _url(), {**GREEN, "digest": "0" * 64})
    assert answered.status_code == 409
    assert Callback.objects.get().used_at is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"state": "yes"},
        {"state": "check", "passed": True},
        {"state": "check", "name": "ci"},
        {**GREEN, "details_url": "javascript:alert(1)"},
        {**GREEN, "evidence": {"x": "y" * 70_000}},
        {**GREEN, "evidence": []},
    ],
)
def test_malformed_answer_is_refused_and_leaves_the_token_unused(
    checked: ApprovalRequest, client: Client, body: dict[str, Any]
) -> None:
    assert _post(client, _url(), body).status_code == 400
    assert Callback.objects.get().used_at is None


def test_green_check_on_changed_bytes_invalidates(
    checked: ApprovalRequest, client: Client
) -> None:
    path = artifacts.local_directory(checked.version) / "weights.json"
    path.chmod(0o644)
    path.write_text("evil")
    assert _post(client, _url(), GREEN).status_code == 409
    checked.refresh_from_db()
    assert checked.status == "invalidated"
