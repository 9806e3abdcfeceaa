"""Refused attempts are in the audit log, coalesced, and tell the caller nothing."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from access import audit
from access import services as access
from access.models import AccessToken, User
from access.privileges import Privilege
from events.models import Event
from events.refusals import MOST_OF_ONE_CALLER, tell_repeats
from registry.models import RegisteredModel
from tests.factories import UserFactory

MODEL = "prod.fraud.scorer"
START = dt.datetime(2026, 11, 21, 12, 0, 10, tzinfo=dt.UTC)
Call = Callable[..., Any]


def denied() -> list[Event]:
    return list(Event.objects.filter(outcome="denied"))


def test_a_refused_write_is_told(
    model: RegisteredModel, grantee: User, use: Call, call: Call
) -> None:
    use(grantee, Privilege.EXECUTE)
    answer = call(grantee, "patch", f"models/{MODEL}", {"comment": "mine"})
    assert answer.status_code == 403
    [event] = denied()
    assert (event.type, event.subject_id) == ("access.denied", model.pk)
    assert event.actor_id == grantee.pk
    assert event.credential.startswith("token:")
    assert event.request_id == answer["X-Request-Id"]
    assert event.data["request"] == "PATCH api/v1/models/<str:full_name>"
    assert event.data["operation"]
    assert "lacks" in event.data["reason"]
    assert not event.data["hidden"]


def test_what_is_hidden_is_told_to_auditors_alone(
    model: RegisteredModel, stranger: User, owner: User, call: Call
) -> None:
    hidden = call(stranger, "get", f"models/{MODEL}")
    absent = call(stranger, "get", "models/prod.fraud.nothing")
    assert (hidden.status_code, absent.status_code) == (404, 404)
    [event] = denied()
    assert (event.subject_id, event.data["hidden"]) == (model.pk, True)
    auditor = UserFactory(username="auditor", is_auditor=True)
    rows = Event.objects.filter(pk=event.pk)
    assert audit.keep_visible(rows, auditor).exists()
    assert not audit.keep_visible(rows, stranger).exists()
    assert not audit.keep_visible(rows, owner).exists()
    # who may read the audit log of the object finds it on its timeline
    assert event in audit.timeline(model, principal=owner)


@pytest.mark.parametrize(
    "path",
    [
        f"/api/2.0/mlflow/registered-models/get?name={MODEL}",
        f"/api/2.0/mlflow/model-versions/get?name={MODEL}&version=1",
        f"/api/2.0/mlflow/registered-models/alias?name={MODEL}&alias=a",
    ],
)
def test_mlflows_dialect_is_told_too(
    model: RegisteredModel, stranger: User, client: Client, path: str
) -> None:
    token = access.issue_token(stranger, "t", principal=stranger)
    answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 404
    assert [(e.subject_id, e.actor_id) for e in denied()] == [(model.pk, stranger.pk)]


def test_pages_are_told_too(
    model: RegisteredModel, stranger: User, client: Client
) -> None:
    client.force_login(stranger)
    assert client.get("/catalog/prod/fraud/scorer/").status_code == 404
    [event] = denied()
    assert (event.subject_id, event.actor_id) == (model.pk, stranger.pk)
    assert event.credential.startswith("session:")


def test_a_loop_makes_two_events_a_minute(
    model: RegisteredModel, stranger: User, client: Client
) -> None:
    token = access.issue_token(stranger, "t", principal=stranger)
    with time_machine.travel(START, tick=False) as clock:
        for _ in range(50):
            client.get(
                f"/api/v1/models/{MODEL}", headers={"Authorization": f"Bearer {token}"}
            )
        assert len(denied()) == 1
        clock.shift(60)
        tell_repeats()
        tell_repeats()
    first, repeats = denied()
    assert (first.data["count"], repeats.data["count"]) == (1, 49)
    assert repeats.credential == ""
    assert repeats.data["credential"] == first.credential


def test_a_scan_is_told_as_one_after_a_while(
    model: RegisteredModel, stranger: User, client: Client
) -> None:
    token = access.issue_token(stranger, "t", principal=stranger)
    with time_machine.travel(START, tick=False):
        for number in range(MOST_OF_ONE_CALLER + 5):
            client.get(
                f"/api/v1/models/{MODEL}/versions/{number}",
                headers={"Authorization": f"Bearer {token}"},
            )
    assert len(denied()) == MOST_OF_ONE_CALLER + 1
    assert "many different things" in denied()[-1].data["reason"]


def test_an_unknown_token_is_told_without_it(client: Client, db: None) -> None:
    bad = "gl_" + "a" * 43
    client.get("/api/v1/models", headers={"Authorization": f"Bearer {bad}"})
    [event] = denied()
    assert (event.type, event.subject_type) == ("token.refused", "installation")
    assert bad not in str(vars(event))


def test_a_revoked_token_names_whose_it_was(client: Client, owner: User) -> None:
    token = access.issue_token(owner, "t", principal=owner)
    used = AccessToken.objects.get(principal=owner)
    access.revoke_token(used, principal=owner)
    client.get("/api/v1/models", headers={"Authorization": f"Bearer {token}"})
    [event] = denied()
    assert (event.type, event.subject_id) == ("token.refused", owner.pk)
    assert event.data["token"] == f"token:{used.pk}"


@pytest.mark.parametrize(("name", "told"), [("owner", "owner"), ("s3cret", "unknown")])
def test_a_failed_sign_in_is_told(
    client: Client, owner: User, name: str, told: str
) -> None:
    client.post("/sign-in/", {"username": name, "password": "wrong"})
    basic = base64.b64encode(f"{name}:wrong".encode()).decode()
    client.post(
        "/api/v1/tokens/by-password",
        {"name": "t"},
        content_type="application/json",
        headers={"Authorization": f"Basic {basic}"},
    )
    events = denied()
    assert {event.type for event in events} == {"sign_in.failed"}
    assert {event.data["name"] for event in events} == {told}


def test_no_credential_is_no_attempt(client: Client, db: None) -> None:
    assert client.get("/api/v1/models").status_code == 401
    assert denied() == []


def test_a_refusal_outlives_its_rolled_back_transaction(
    model: RegisteredModel, grantee: User, use: Call, call: Call
) -> None:
    use(grantee, Privilege.EXECUTE)
    before = Event.objects.filter(outcome="success").count()
    call(grantee, "delete", f"models/{MODEL}")
    told = Event.objects.filter(outcome="success").exclude(type="token.issued")
    assert told.count() <= before
    assert len(denied()) == 1
    assert timezone.now() - denied()[0].created_at < dt.timedelta(minutes=1)
