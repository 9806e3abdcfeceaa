"""Knocking too often is 429 with Retry-After, for all processes together."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings
from django.db import connections
from django.test import Client

from access.models import User
from approvals import limits
from approvals.models import ApprovalRequest, Knock
from core.errors import TooManyAttempts

MOMENT = dt.datetime(2026, 3, 1, 12, 0, 45, tzinfo=dt.UTC)


def knock(client: Client, **meta: Any) -> Any:
    body = {"state": "rejected"}
    return client.post("/api/v1/callbacks/glcb_x", body, "application/json", **meta)


def test_callbacks_of_an_address_are_limited_by_the_minute(
    db: None, client: Client, settings: LazySettings
) -> None:
    settings.CALLBACKS_PER_MINUTE = 2
    with time_machine.travel(MOMENT, tick=False) as clock:
        statuses = [knock(client).status_code for _ in range(4)]
        refused = knock(client)
        elsewhere = {"HTTP_X_FORWARDED_FOR": "192.0.2.7"}
        assert knock(client, **elsewhere).status_code == 404
        clock.shift(15)
        assert knock(client).status_code == 404
    assert statuses == [404, 404, 429, 429]
    assert refused["Retry-After"] == "15"
    assert refused.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert "Wait 15 seconds" in refused.json()["message"]


def test_decisions_of_a_principal_are_limited(
    approval: ApprovalRequest,
    reviewer: User,
    owner: User,
    settings: LazySettings,
    call: Callable[..., Any],
) -> None:
    settings.DECISIONS_PER_MINUTE = 1
    path = f"approvals/{approval.id}"
    body = {"decision": "approve", "digest": "0" * 64}
    with time_machine.travel(MOMENT, tick=False):
        assert call(reviewer, "post", f"{path}/decisions", body).status_code == 409
        assert call(reviewer, "post", f"{path}/decisions", body).status_code == 429
        check = {"name": "ci", "passed": True, "digest": "0" * 64}
        assert call(reviewer, "post", f"{path}/checks", check).status_code == 429
        assert call(reviewer, "get", path).status_code == 200
        assert call(owner, "post", f"{path}/decisions", body).status_code == 409


def test_zero_is_no_limit(db: None, client: Client, settings: LazySettings) -> None:
    settings.CALLBACKS_PER_MINUTE = 0
    assert knock(client).status_code == 404
    assert not Knock.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_threads_share_the_count() -> None:
    answers: Counter[str] = Counter()

    def tries() -> None:
        for _ in range(5):
            try:
                limits.require_seldom("x", 7)
                answers["let in"] += 1
            except TooManyAttempts:
                answers["refused"] += 1
        connections.close_all()

    with time_machine.travel(MOMENT, tick=False):
        threads = [threading.Thread(target=tries) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {"let in": 7, "refused": 13}


def test_counts_of_past_minutes_are_forgotten(db: None) -> None:
    with time_machine.travel(MOMENT, tick=False) as clock:
        limits.require_seldom("old", 7)
        clock.shift(60)
        limits.require_seldom("new", 7)
        limits.forget()
        assert [knock.key for knock in Knock.objects.all()] == ["new"]
