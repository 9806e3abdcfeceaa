"""Policies in the console: listed, shown, tried on past requests, changed, retired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access.models import User
from approvals import services as approvals
from approvals.drafts import Bypass, CheckRule, Draft, ReviewerRule
from approvals.models import ApprovalRequest, Policy
from console.policy_texts import EMPTY_FORM, draft_from, fields_of
from core.errors import InvalidParameter
from registry.models import ModelVersion, RegisteredModel
from tests.factories import GroupFactory, MembershipFactory

Browser = Callable[[User], Client]
NEW = "/approvals/policies/new/"
SCOPE = {"kind": "model", "full_name": "prod.fraud.scorer"}


def _form(**changes: Any) -> dict[str, Any]:
    filled = {**EMPTY_FORM, **SCOPE, "alias_pattern": "Champion", **changes}
    return {key: value for key, value in filled.items() if value is not False}


@pytest.fixture
def policy(model: RegisteredModel, admin: User, approver: User) -> Policy:
    """A policy that says something of everything."""
    risk = GroupFactory(username="risk")
    for _ in range(2):
        MembershipFactory(group=risk)
    draft = Draft(
        "Champion",
        rules=(ReviewerRule(2, (risk,)), ReviewerRule()),
        rejects_needed=2,
        checks=(CheckRule("ci"), CheckRule("drift", 7200)),
        metrics=("accuracy >= 0.92",),
        wait_seconds=90,
        freezes=(
            {
                "days": ["fri", "sat"],
                "from": "16:00",
                "to": "24:00",
                "zone": "Europe/Berlin",
            },
            {
                "from": "2026-12-24",
                "to": "2027-01-01",
                "zone": "UTC",
                "name": "Year end",
            },
        ),
        cooling_seconds=172800,
        bypass=Bypass((approver,), 20, "CHG-*"),
        rollout_plan={"steps": [{"weight": 500}]},
        note="after the incident",
    )
    return approvals.put_policy(model, draft, principal=admin)


def test_form_says_back_what_the_policy_says(policy: Policy) -> None:
    fields = {**fields_of(policy), "note": policy.note}
    sent = {key: str(value) for key, value in fields.items() if value is not False}
    again = draft_from(sent).as_policy(policy.scope)
    for field in ("rules", "checks", "metrics", "freezes", "bypass", "rollout_plan"):
        assert getattr(again, field) == getattr(policy, field)
    for field in ("wait_seconds", "expires_after_seconds", "cooling_seconds"):
        assert getattr(again, field) == getattr(policy, field)


def test_policy_page_says_it_in_words(
    policy: Policy, browser: Browser, owner: User, stranger: User
) -> None:
    client = browser(owner)
    listed = client.get("/approvals/policies/").content.decode()
    assert "prod.fraud.scorer@Champion" in listed
    shown = client.get(f"/approvals/policies/{policy.pk}/").content.decode()
    for words in (
        "2 of risk",
        "drift; for 2h",
        "accuracy &gt;= 0.92",
        "fri,sat 16:00-24:00 Europe/Berlin",
        "a ticket like CHG-*",
        "after the incident",
    ):
        assert words in shown
    away = browser(stranger).get(f"/approvals/policies/{policy.pk}/")
    assert away.status_code == 404


def test_owner_puts_a_policy(
    model: RegisteredModel, browser: Browser, owner: User
) -> None:
    client = browser(owner)
    assert (
        client.get(f"{NEW}?kind=model&full_name=prod.fraud.scorer").status_code == 200
    )
    made = client.post(NEW, _form(checks="ci", do="put", after="0"))
    policy = Policy.objects.get()
    assert (made.status_code, made["Location"]) == (
        302,
        f"/approvals/policies/{policy.pk}/",
    )
    assert policy.check_names == ["ci"]
    again = client.post(NEW, _form(do="put", after="0"))
    assert again.status_code == 409


def test_change_makes_the_next_number_and_retiring_the_last(
    model: RegisteredModel, browser: Browser, owner: User, grantee: User
) -> None:
    first = approvals.create_policy(model, "Champion", principal=owner)
    client, path = browser(owner), f"/approvals/policies/{first.pk}/"
    assert 'value="1"' in client.get(f"{path}change/").content.decode()
    client.post(f"{path}change/", _form(wait="1h", do="put", after="1"))
    second = Policy.objects.get(number=2)
    assert second.wait_seconds == 3600
    client.post(f"/approvals/policies/{second.pk}/retire/", {"note": "enough"})
    assert Policy.objects.get(number=3).is_retired
    shown = client.get(f"/approvals/policies/{second.pk}/").content.decode()
    assert "see number 3" in shown
    assert browser(grantee).get(f"{path}change/").status_code == 404


def test_simulation_is_shown_with_the_form_as_it_was_typed(
    approval: ApprovalRequest, browser: Browser, owner: User, reviewer: User
) -> None:
    approvals.decide(approval, "approve", digest=approval.digest, principal=reviewer)
    before = Policy.objects.count()
    tried = browser(owner).post(NEW, _form(checks="holdout", do="simulate"))
    page = tried.content.decode()
    assert tried.status_code == 200
    assert "1 of the last 1 requests would have ended otherwise" in page
    assert "check holdout has not reported" in page
    assert ">holdout</textarea>" in page
    assert Policy.objects.count() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rules": "two of risk"}, "Approvals: write"),
        ({"rules": "1 of nobody"}, "nobody"),
        ({"checks": "drift; since noon"}, "Checks: write"),
        ({"checks": "drift; for ever"}, "Checks: write"),
        ({"metrics": "good"}, "metrics"),
        ({"freezes": "always"}, "Freeze: write"),
        ({"freezes": "fri 16:00-24:00 Mars/Base"}, "zone"),
        ({"wait": "soon"}, "Wait: write"),
        ({"wait": "8d"}, "Wait less"),
        ({"rejects_needed": "many"}, "rejects_needed"),
        ({"rollout_plan": "{"}, "no JSON"),
        ({"rollout_plan": "[]"}, "an object"),
        ({"kind": "galaxy"}, "Choose a catalog"),
        ({"bypass_principals": "owner"}, "admin"),
    ],
)
def test_refusal_keeps_what_was_typed(
    model: RegisteredModel,
    browser: Browser,
    owner: User,
    change: dict[str, str],
    said: str,
) -> None:
    refused = browser(owner).post(NEW, _form(note="typed before", do="put", **change))
    assert 400 <= refused.status_code < 500
    page = refused.content.decode()
    assert said in page
    assert "typed before" in page
    assert not Policy.objects.exists()


def test_glass_that_was_broken_shows_in_the_history(
    model: RegisteredModel,
    version: ModelVersion,
    browser: Browser,
    owner: User,
    admin: User,
) -> None:
    approvals.create_policy(model, "Champion", principal=owner)
    approvals.break_glass(
        model, "Champion", version, reason="it burns", principal=admin
    )
    page = browser(owner).get("/catalog/prod/fraud/scorer/aliases/Champion/")
    shown = page.content.decode()
    assert "Glass broken" in shown
    assert "it burns" in shown


def test_duration_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="Cooling"):
        draft_from({"cooling": "1 week"})
