"""REST of approvals, with real tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest, Policy
from registry.models import ModelVersion

POLICY = {
    "securable_type": "model",
    "full_name": "prod.fraud.scorer",
    "alias_pattern": "Champion",
}

Call = Callable[..., Any]


def test_from_policy_to_champion(
    call: Call, version: ModelVersion, owner: User, reviewer: User
) -> None:
    assert call(owner, "post", "policies", POLICY).status_code == 201
    wish = {"model": version.model.full_name, "alias": "Champion", "version": 1}
    opened = call(owner, "post", "approvals", wish).json()
    assert (opened["status"], opened["digest"]) == ("pending", version.digest)

    body = {"decision": "approve", "comment": "good", "digest": opened["digest"]}
    path = f"approvals/{opened['id']}/decisions"
    decided = call(reviewer, "post", path, body)
    assert decided.status_code == 201
    assert decided.json()["request"]["status"] == "applied"
    again = call(reviewer, "post", path, body)
    assert (again.status_code, again.json()["id"]) == (200, decided.json()["id"])
    other = {**body, "decision": "reject"}
    assert call(reviewer, "post", path, other).status_code == 409


def test_policy_with_reviewers_by_name(
    call: Call, version: ModelVersion, owner: User, reviewer: User
) -> None:
    body = {**POLICY, "reviewers": ["approver"], "checks": ["ci"]}
    made = call(owner, "post", "policies", body).json()
    assert (made["reviewers"], made["number"]) == (["approver"], 1)
    assert made["checks"] == [{"name": "ci", "max_age_seconds": None, "reporter": None}]
    listed = call(reviewer, "get", "policies").json()["policies"]
    assert [one["id"] for one in listed] == [made["id"]]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"approvals_needed": 0}, 400),
        ({"reviewers": ["nobody"]}, 404),
        ({"securable_type": "moon"}, 400),
        ({"full_name": "prod.fraud.none"}, 404),
        ({"reviewers": ["approver"], "approvals_needed": 2}, 400),
        ({"callback_may_approve": True}, 403),
    ],
)
def test_wrong_policy_is_refused(
    call: Call, version, owner: User, approver: User, change, status: int
) -> None:
    assert call(owner, "post", "policies", {**POLICY, **change}).status_code == status
    assert not Policy.objects.exists()


def test_check_by_token(
    call: Call, approval: ApprovalRequest, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE)
    body = {"name": "ci", "passed": False, "digest": approval.digest, "comment": "no"}
    path = f"approvals/{approval.id}/checks"
    reported = call(grantee, "post", path, body).json()
    assert (reported["reported_by"], reported["passed"]) == ("grantee", False)
    assert reported["request"]["checks"][0]["comment"] == "no"


def test_cancel(call: Call, approval: ApprovalRequest, owner: User) -> None:
    answered = call(owner, "post", f"approvals/{approval.id}/cancel")
    assert answered.json()["status"] == "cancelled"


def test_stranger_sees_no_request(
    call: Call, approval: ApprovalRequest, stranger: User
) -> None:
    assert call(stranger, "get", f"approvals/{approval.id}").status_code == 404
    assert call(stranger, "get", "approvals").json() == {"approvals": []}
    assert call(stranger, "get", "policies").json() == {"policies": []}
    body = {"decision": "approve", "digest": approval.digest}
    path = f"approvals/{approval.id}/decisions"
    assert call(stranger, "post", path, body).status_code == 404


def test_browser_of_the_catalog_sees_no_request(
    call: Call, approval: ApprovalRequest, grantee: User, admin: User
) -> None:
    access.grant(
        approval.model.schema.catalog, Privilege.BROWSE, grantee, principal=admin
    )
    assert call(grantee, "get", f"approvals/{approval.id}").status_code == 404


def test_grantee_of_execute_sees_the_request_with_what_is_missing(
    call: Call, approval: ApprovalRequest, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE)
    seen = call(grantee, "get", f"approvals/{approval.id}").json()
    assert seen["unmet"] == approval.unmet()
    assert seen["links"]["review"] == approval.url


def test_assignee_me_lists_what_waits_for_me(
    call: Call, approval: ApprovalRequest, reviewer: User, owner: User
) -> None:
    path = "approvals?assignee=me"
    waiting = call(reviewer, "get", path).json()["approvals"]
    assert [one["id"] for one in waiting] == [str(approval.id)]
    assert call(owner, "get", path).json()["approvals"] == []
    approvals.decide(approval, "reject", digest=approval.digest, principal=reviewer)
    assert call(reviewer, "get", path).json()["approvals"] == []


def test_filter_by_state_and_pages(
    call: Call, approval: ApprovalRequest, owner: User
) -> None:
    approvals.cancel(approval, principal=owner)
    newer = approvals.request_alias(
        approval.model, "Champion", approval.version, principal=owner
    )
    first = call(owner, "get", "approvals?max_results=1").json()
    assert [one["id"] for one in first["approvals"]] == [str(newer.id)]
    token = first["next_page_token"]
    rest = call(owner, "get", f"approvals?max_results=1&page_token={token}").json()
    assert [one["id"] for one in rest["approvals"]] == [str(approval.id)]
    assert "next_page_token" not in rest
    pending = call(owner, "get", "approvals?state=pending").json()["approvals"]
    assert [one["id"] for one in pending] == [str(newer.id)]


def test_list_costs_the_same_however_long(
    call: Call, approval: ApprovalRequest, owner: User, django_assert_max_num_queries
) -> None:
    for _ in range(5):
        approvals.cancel(ApprovalRequest.objects.first(), principal=owner)
        approvals.request_alias(
            approval.model, "Champion", approval.version, principal=owner
        )
    with django_assert_max_num_queries(15):
        assert len(call(owner, "get", "approvals").json()["approvals"]) == 6


@pytest.mark.parametrize(
    "body",
    [
        {"decision": "maybe", "digest": "0" * 64},
        {"decision": "approve"},
        {"decision": "approve", "digest": "short"},
    ],
)
def test_malformed_decision_is_refused(
    call: Call, approval: ApprovalRequest, reviewer: User, body: dict[str, Any]
) -> None:
    answered = call(reviewer, "post", f"approvals/{approval.id}/decisions", body)
    assert answered.status_code == 400


def test_without_a_token_nothing_is_decided(
    client: Client, approval: ApprovalRequest
) -> None:
    path = f"/api/v1/approvals/{approval.id}/decisions"
    answered = client.post(
        path,
        {"decision": "approve", "digest": approval.digest},
        content_type="application/json",
    )
    assert answered.status_code == 401
