"""A system outside decides by a token that can do nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest
from registry import services as registry
from registry.models import ModelVersion
from tests.factories import UserFactory

Send = Callable[..., Any]


@pytest.fixture
def ci(admin: User, use: Callable[..., None]) -> User:
    """A service principal that may approve in the catalog prod."""
    keeper = UserFactory(username="keeper")
    ci = access.create_service_principal("ci", keeper, principal=admin)
    use(ci)
    for privilege in (Privilege.USE_CATALOG, Privilege.USE_SCHEMA, Privilege.APPROVE):
        access.grant(registry.get_catalog("prod"), privilege, ci, principal=admin)
    return ci


@pytest.fixture
def send(ci: User, admin: User, client: Client) -> Send:
    """Send with a token of `ci` that has the scope approvals:decide alone."""
    token = access.issue_token(ci, "ci", scopes=["approvals:decide"], principal=admin)

    def request(method: str, path: str, body: Any = None) -> Any:
        return client.generic(
            method,
            f"/api/v1/{path}",
            b"" if body is None else json.dumps(body).encode(),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"},
        )

    return request


def test_narrow_token_reads_and_decides(approval: ApprovalRequest, send: Send) -> None:
    read = send("GET", f"approvals/{approval.id}")
    body = {"decision": "approve", "digest": read.json()["digest"]}
    decided = send("POST", f"approvals/{approval.id}/decisions", body)
    assert decided.status_code == 201
    assert decided.json()["request"]["status"] == "applied"


def test_narrow_token_reports_a_check(
    version: ModelVersion, owner: User, ci: User, send: Send, admin: User
) -> None:
    access.grant(version.model, Privilege.EXECUTE, ci, principal=owner)
    approvals.create_policy(version.model, "Champion", checks=["ci"], principal=owner)
    asked = approvals.request_alias(version.model, "Champion", version, principal=owner)
    check = {"name": "ci", "passed": True, "digest": asked.digest}
    assert send("POST", f"approvals/{asked.id}/checks", check).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "models/prod.fraud.scorer"),
        ("GET", "policies"),
        ("POST", "policies"),
        ("POST", "approvals"),
        ("POST", "approvals/{id}/cancel"),
        ("PUT", "models/prod.fraud.scorer/aliases/Champion"),
        ("POST", "models/prod.fraud.scorer/aliases/Champion/break-glass"),
        ("POST", "tokens"),
        ("GET", "webhooks"),
    ],
)
def test_narrow_token_does_nothing_else(
    approval: ApprovalRequest, send: Send, method: str, path: str
) -> None:
    refused = send(method, path.format(id=approval.id), {})
    assert refused.status_code == 403
    assert "approvals:decide" in refused.json()["message"]


def test_token_reaches_no_other_catalog(
    approval: ApprovalRequest,
    send: Send,
    admin: User,
    owner: User,
    make_version: Callable[..., ModelVersion],
) -> None:
    registry.create_catalog("lab", principal=admin)
    registry.create_schema("lab.fraud", principal=admin)
    model = registry.create_model("lab.fraud.scorer", principal=admin)
    approvals.create_policy(model, "Champion", principal=admin)
    other = approvals.request_alias(
        model, "Champion", make_version(model), principal=admin
    )
    body = {"decision": "approve", "digest": other.digest}
    assert send("POST", f"approvals/{other.id}/decisions", body).status_code == 404
    seen = send("GET", "approvals?assignee=me").json()["approvals"]
    assert [one["id"] for one in seen] == [str(approval.id)]
