"""Policies by REST: put, look at, retire, simulate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from access.models import User
from approvals.models import Policy
from registry.models import ModelVersion, RegisteredModel

Call = Callable[..., Any]
SCOPE = {"securable_type": "model", "full_name": "prod.fraud.scorer"}
FULL = {
    **SCOPE,
    "alias_pattern": "Champion",
    "rules": [{"needed": 1, "principals": ["approver"]}, {"needed": 1}],
    "rejects_needed": 2,
    "checks": ["ci", {"name": "drift", "max_age_seconds": 3600}],
    "metrics": ["accuracy >= 0.92", "accuracy not worse than Champion by 0.01"],
    "wait_seconds": 60,
    "freezes": [
        {"days": ["fri"], "from": "16:00", "to": "24:00", "zone": "Europe/Berlin"},
        {"from": "2026-12-24", "to": "2027-01-01", "zone": "UTC", "name": "Year end"},
    ],
    "cooling_seconds": 172800,
    "bypass": {"min_reason_length": 20, "ticket_pattern": "CHG-*"},
    "rollout_plan": {"steps": [{"weight": 500}]},
    "note": "after the incident",
}


def test_policy_says_back_what_it_was_told(
    call: Call, model: RegisteredModel, owner: User, approver: User
) -> None:
    made = call(owner, "post", "policies", FULL)
    assert made.status_code == 201
    said = made.json()
    same = ("rejects_needed", "metrics", "freezes", "cooling_seconds", "note")
    assert {key: said[key] for key in same} == {key: FULL[key] for key in same}
    assert said["rules"][0] == {"needed": 1, "principals": ["approver"]}
    assert said["checks"][1]["max_age_seconds"] == 3600
    assert said["bypass"]["ticket_pattern"] == "CHG-*"
    assert (said["approvals_needed"], said["created_by"]) == (2, "owner")


def test_numbers_of_a_policy(
    call: Call, policy: Policy, owner: User, stranger: User
) -> None:
    body = {**SCOPE, "alias_pattern": "champion", "checks": ["ci"], "after": 1}
    newer = call(owner, "post", "policies", body).json()
    assert call(owner, "post", "policies", body).status_code == 409
    shown = call(owner, "get", f"policies/{policy.pk}").json()
    assert (shown["in_force"], len(shown["numbers"])) == (False, 2)
    ended = call(owner, "post", f"policies/{newer['id']}/retire", {"note": "done"})
    assert (ended.status_code, ended.json()["is_retired"]) == (201, True)
    query = "policies?securable_type=model&full_name=prod.fraud.scorer"
    assert len(call(owner, "get", query).json()["policies"]) == 3
    in_force = call(owner, "get", f"{query}&in_force=true").json()
    assert in_force["policies"] == []
    assert call(stranger, "get", f"policies/{policy.pk}").status_code == 404
    assert call(stranger, "get", query).status_code == 404


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rules": [{"quorum": 2}]}, "quorum"),
        ({"rules": [{"needed": 0}]}, "needed"),
        ({"rules": [{}], "approvals_needed": 1}, "not both"),
        ({"rules": [{"principals": ["nobody"]}]}, "nobody"),
        ({"checks": [{"name": "ci", "reporter": "approver"}]}, "service principal"),
        ({"checks": [{"max_age_seconds": 1}]}, "name"),
        ({"checks": [7]}, "checks"),
        ({"metrics": ["accuracy > good"]}, "metrics"),
        ({"freezes": [{"days": ["fri"], "from": "1", "to": "2"}]}, "zone"),
        ({"freezes": ["always"]}, "freezes"),
        ({"wait_seconds": 10**9}, "wait_seconds"),
        ({"wait_seconds": "soon"}, "wait_seconds"),
        ({"bypass": {"principals": ["approver"]}}, "admin"),
        ({"bypass": {"who": "me"}}, "who"),
        ({"rollout_plan": {"steps": [{"weight": 0}]}}, "plan.steps"),
        ({"securable_type": "experiment"}, "experiment"),
        ({"reviewrs": []}, "reviewrs"),
    ],
)
def test_bad_input_names_the_field(
    call: Call,
    model: RegisteredModel,
    owner: User,
    approver: User,
    change: dict[str, Any],
    named: str,
) -> None:
    body = {**SCOPE, "alias_pattern": "Champion", **change}
    for path in ("policies", "policies/simulate"):
        if path == "policies/simulate" and "bypass" in change:
            continue
        refused = call(owner, "post", path, body)
        assert 400 <= refused.status_code < 500
        assert named in refused.content.decode()
    assert not Policy.objects.exists()


def test_simulation_says_what_would_differ(
    call: Call,
    version: ModelVersion,
    policy: Policy,
    approval: Any,
    approve: Callable[..., None],
    owner: User,
    reviewer: User,
    stranger: User,
) -> None:
    approve(approval, reviewer)
    body = {**SCOPE, "alias_pattern": "Champ*", "approvals_needed": 2}
    replay = call(owner, "post", "policies/simulate", body).json()
    assert (replay["replayed"], replay["differing"]) == (1, 1)
    (outcome,) = replay["outcomes"]
    assert (outcome["actual"], outcome["would"]) == ("applied", "waiting")
    assert outcome["why"] == ["1 more approval by somebody with APPROVE"]
    assert call(stranger, "post", "policies/simulate", body).status_code == 404
    assert call(reviewer, "post", "policies/simulate", body).status_code == 403
