"""Past the policy: only an admin, only with a reason, never quietly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import LazySettings

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.drafts import Bypass, Draft
from approvals.models import ApprovalRequest, Policy
from events.models import Event
from registry import artifacts
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel

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


def _let_past(model: RegisteredModel, admin: User, who: User, **bypass: Any) -> Policy:
    draft = Draft("Champion", bypass=Bypass(principals=(who,), **bypass))
    return approvals.put_policy(model, draft, principal=admin)


def test_who_the_policy_lists_goes_past_it(
    version: ModelVersion,
    owner: User,
    admin: User,
    grantee: User,
    use: Callable[..., None],
    call: Callable[..., Any],
) -> None:
    use(grantee, Privilege.EXECUTE)
    bypass = {"min_reason_length": 20, "ticket_pattern": "CHG-[0-9]*"}
    _let_past(version.model, admin, grantee, **bypass)
    said = {**NOW, "ticket": "CHG-7"}
    short = call(grantee, "post", PATH, {**said, "reason": "it burns"})
    assert (short.status_code, "at least 20" in short.json()["message"]) == (400, True)
    wrong = call(grantee, "post", PATH, {**said, "ticket": "soon"})
    assert (wrong.status_code, "CHG-[0-9]*" in wrong.json()["message"]) == (400, True)
    assert call(owner, "post", PATH, said).status_code == 403
    assert call(grantee, "post", PATH, said).status_code == 200

    told = Event.objects.get(type="alias.break_glass")
    assert (told.actor_name, told.data["ticket"]) == ("grantee", "CHG-7")
    history = call(owner, "get", "models/prod.fraud.scorer/aliases/Champion/history")
    (move,) = history.json()["moves"]
    assert (move["bypass_reason"], move["bypass_ticket"]) == (NOW["reason"], "CHG-7")


def test_every_policy_must_let_past_it(
    version: ModelVersion,
    admin: User,
    grantee: User,
    use: Callable[..., None],
    call: Callable[..., Any],
) -> None:
    use(grantee, Privilege.EXECUTE)
    _let_past(version.model, admin, grantee)
    approvals.put_policy(version.model.schema, Draft("*"), principal=admin)
    assert call(grantee, "post", PATH, NOW).status_code == 403


def test_changed_bytes_are_not_bypassed(
    policy: Policy, version: ModelVersion, admin: User, call: Callable[..., Any]
) -> None:
    path = artifacts.local_directory(version) / "weights.json"
    path.chmod(0o644)
    path.write_text("evil")
    assert call(admin, "post", PATH, NOW).status_code == 409
    version.refresh_from_db()
    assert version.tampered_at is not None
    assert registry.get_alias(version.model, "Champion") is None


def test_request_for_the_same_version_is_superseded(
    approval: ApprovalRequest, admin: User, call: Callable[..., Any]
) -> None:
    assert call(admin, "post", PATH, NOW).status_code == 200
    approval.refresh_from_db()
    assert approval.status == "superseded"
    assert NOW["reason"] in approval.closing_reason
