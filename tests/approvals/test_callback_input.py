"""What else may be posted to a callback: refused by name, and nothing half-done."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from access.models import User
from approvals import callbacks
from approvals import services as approvals
from approvals.models import ApprovalRequest, Callback, Check
from events.models import Event
from registry.models import ModelVersion
from tests.factories import UserFactory

GREEN = {"state": "check", "name": "ci", "passed": True}


@pytest.fixture
def subscriber(db: None) -> User:
    return UserFactory(username="subscriber")


@pytest.fixture
def checked(version: ModelVersion, owner: User) -> ApprovalRequest:
    """A request that needs one approval and the check `ci`."""
    approvals.create_policy(version.model, "Champion", checks=["ci"], principal=owner)
    return approvals.request_alias(version.model, "Champion", version, principal=owner)


@pytest.fixture
def token_of(subscriber: User) -> Callable[..., str]:
    """The token of a request for the webhook with a number."""

    def token(approval: ApprovalRequest, webhook: int = 7) -> str:
        event = Event.objects.get(
            type="approval.requested", data__request_id=str(approval.pk)
        )
        given = callbacks.for_webhook(event, uuid.UUID(int=webhook), subscriber)
        return str(given["callback"]["url"].rsplit("/", 1)[1])

    return token


def post(client: Client, token: str, body: Any = GREEN) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return client.post(f"/api/v1/callbacks/{token}", data, "application/json")


@pytest.mark.parametrize(
    "spoil",
    [
        str.upper,
        str.lower,
        lambda token: token[:-1],
        lambda token: token[5:],
        lambda token: token + "=",
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: token[:20] + token[21:] + token[20],
        lambda token: token + "%20",
        lambda token: "x" * 5000,
    ],
)
def test_token_that_is_not_quite_ours_is_unknown(
    checked: ApprovalRequest,
    client: Client,
    token_of: Callable[..., str],
    spoil: Callable[[str], str],
) -> None:
    refused = post(client, spoil(token_of(checked)))
    assert refused.status_code == 404
    assert refused.json()["message"] == "Unknown callback."
    assert not Check.objects.exists()
    assert Callback.objects.get().used_at is None


def test_token_answers_its_own_request_alone(
    checked: ApprovalRequest,
    make_version: Callable[..., ModelVersion],
    client: Client,
    owner: User,
    token_of: Callable[..., str],
) -> None:
    """The digest of another request is refused; the other one has its own token."""
    token = token_of(checked)
    other = make_version(checked.model, content="2")
    approvals.create_policy(checked.model, "Shadow", checks=["ci"], principal=owner)
    beside = approvals.request_alias(checked.model, "Shadow", other, principal=owner)

    refused = post(client, token, {**GREEN, "digest": beside.digest})

    assert refused.status_code == 409
    assert checked.digest in refused.json()["message"]
    assert post(client, token).json()["request_id"] == str(checked.id)
    assert not beside.checks.exists()
    assert token_of(beside) != token


def test_each_webhook_has_a_token_that_works_once(
    checked: ApprovalRequest, client: Client, token_of: Callable[..., str]
) -> None:
    first, second = token_of(checked, 1), token_of(checked, 2)
    assert post(client, first).status_code == 200
    assert Callback.objects.filter(used_at=None).count() == 1
    assert post(client, second, {**GREEN, "passed": False}).status_code == 200
    assert checked.checks.count() == 2


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "state"),
        (b"{", "not valid JSON"),
        (b'"approved"', "object"),
        (b"[]", "object"),
        (b'{"state": "check", "state": "approved"}', "twice"),
        (b'{"state": "check", "name": "ci", "passed": NaN}', "NaN"),
        (b'{"state": "rejected", "comment": "\\ud800"}', "surrogate"),
        ({"state": "APPROVED"}, "approved, rejected or check"),
        ({"state": ["approved"]}, "state"),
        ({"state": {"approved": True}}, "state"),
        ({"state": None}, "state"),
        ({"state": True}, "state"),
        ({**GREEN, "passed": "perhaps"}, "passed"),
        ({**GREEN, "passed": 7}, "passed"),
        ({**GREEN, "name": ["ci"]}, "name"),
        ({**GREEN, "name": "x" * 201}, "name"),
        ({**GREEN, "name": "a\0b"}, "name"),
        ({**GREEN, "comment": "x" * 5001}, "comment"),
        ({**GREEN, "digest": "A" * 64}, "digest"),
        ({**GREEN, "digest": "0" * 63}, "digest"),
        ({**GREEN, "evidence": "accuracy"}, "evidence"),
        ({**GREEN, "details_url": "data:text/html,x"}, "details_url"),
        ({**GREEN, "approved_by": "boss"}, "approved_by"),
    ],
)
def test_wrong_body_is_refused_by_name(
    checked: ApprovalRequest,
    client: Client,
    token_of: Callable[..., str],
    body: Any,
    named: str,
) -> None:
    refused = post(client, token_of(checked), body)
    assert refused.status_code == 400
    assert named in refused.json()["message"]
    assert not Check.objects.exists()
    assert Callback.objects.get().used_at is None


def test_large_body_is_refused_before_it_is_read(
    checked: ApprovalRequest, client: Client, token_of: Callable[..., str]
) -> None:
    body = {**GREEN, "comment": "x" * 300_000}
    refused = post(client, token_of(checked), body)
    assert refused.status_code == 413
    assert Callback.objects.get().used_at is None


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml"])
def test_other_media_types_are_refused(
    checked: ApprovalRequest,
    client: Client,
    token_of: Callable[..., str],
    media_type: str,
) -> None:
    url = f"/api/v1/callbacks/{token_of(checked)}"
    refused = client.post(url, json.dumps(GREEN), media_type)
    assert refused.status_code == 415


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("given", [GREEN, {"state": "rejected", "comment": "drift"}])
def test_eight_at_once_have_one_effect_and_one_answer(
    checked: ApprovalRequest, token_of: Callable[..., str], given: dict[str, Any]
) -> None:
    """Also when the first of them closes the request for the others."""
    token, barrier = token_of(checked), threading.Barrier(8)
    answers: list[tuple[int, Any]] = []

    def use() -> None:
        client = Client()
        barrier.wait()
        answered = post(client, token, given)
        answers.append((answered.status_code, answered.json()))
        connections.close_all()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [(200, answers[0][1])] * 8
    assert checked.checks.count() + checked.decisions.count() == 1
