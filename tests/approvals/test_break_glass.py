"""Past the policy: only an admin, only with a reason, never quietly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import LazySettings

from access.models import User
from approvals.models import ApprovalRequest, Policy
from events.models import Event
from registry import services as registry
from registry.models import ModelVersion

PATH = "models/prod.fraud.scorer/aliases/Champion/break-glass"
NOW = {"version": 1, "reason": "the old one answers nonsense"}


def test_an_admin_sets_a_protected_alias_with_a_reason(
    policy: Policy, version: ModelVersion, admin: User, call: Callable[..., Any]
) -> None:
    answer = call(admin, "post", PATH, NOW)

    assert answer.status_code == 200
    assert answer.json()["version"] == 1
    told = Event.objects.get(type="alias.break_glass")
    assert (told.actor_name, told.data["reason"]) == ("admin", NOW["reason"])
    assert Event.objects.filter(type="alias.set").count() == 1


def test_nobody_else_does_not_even_the_owner(
    policy: Policy,
    version: ModelVersion,
    owner: User,
    approver: User,
    stranger: User,
    call: Callable[..., Any],
) -> None:
    refused = call(owner, "post", PATH, NOW)
    assert refused.status_code == 403
    assert refused.json()["details"]["reasons"][0]["missing"] == "admin"
    assert call(stranger, "post", PATH, NOW).status_code == 404
    assert registry.get_alias(version.model, "Champion") is None


def test_a_reason_is_needed(
    policy: Policy, version: ModelVersion, admin: User, call: Callable[..., Any]
) -> None:
    for reason in ("", "   "):
        answer = call(admin, "post", PATH, {"version": 1, "reason": reason})
        assert answer.status_code == 400
        assert "reason" in answer.json()["message"]
    assert registry.get_alias(version.model, "Champion") is None


def test_it_can_be_switched_off(
    policy: Policy,
    version: ModelVersion,
    admin: User,
    settings: LazySettings,
    call: Callable[..., Any],
) -> None:
    settings.BREAK_GLASS = False
    assert call(admin, "post", PATH, NOW).status_code == 403
    assert registry.get_alias(version.model, "Champion") is None


def test_a_waiting_request_is_asked_anew(
    approval: ApprovalRequest,
    version: ModelVersion,
    make_version: Callable[..., ModelVersion],
    admin: User,
    call: Callable[..., Any],
) -> None:
    second = make_version(version.model, content="2")
    assert call(admin, "post", PATH, {**NOW, "version": 2}).status_code == 200
    approval.refresh_from_db()
    assert approval.is_open
    assert approval.previous_version == second
