"""REST of requests: one list of what is missing on every face, pages, threads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest
from core.errors import PermissionDenied
from events.models import Event
from registry.models import ModelVersion, Schema
from tests.factories import UserFactory

Call = Callable[..., Any]
Act = Callable[..., None]


def test_every_face_shows_the_same_list_of_what_is_missing(
    call: Call, version: ModelVersion, owner: User, reviewer: User, client: Client
) -> None:
    model = version.model
    approvals.create_policy(
        model, "Champion", approvals_needed=2, checks=["ci", "drift"], principal=owner
    )
    with pytest.raises(PermissionDenied) as refusal:
        approvals.set_alias(model, "Champion", version, principal=owner)
    approval = ApprovalRequest.objects.get()
    missing = approval.unmet()

    assert len(missing) == 3
    assert refusal.value.details["unmet"] == missing
    rest = call(reviewer, "get", f"approvals/{approval.id}").json()
    assert rest["unmet"] == missing
    assert [c["words"] for c in rest["conditions"] if not c["is_met"]] == missing
    # what every webhook of the event sends
    assert Event.objects.get(type="approval.requested").data["unmet"] == missing
    direct = call(
        owner, "put", f"models/{model.full_name}/aliases/Champion", {"version": 1}
    )
    assert direct.status_code == 403
    assert direct.json()["details"]["unmet"] == missing
    client.force_login(reviewer)
    page = client.get(f"/approvals/{approval.id}/").content.decode()
    assert all(words[1:] in page for words in missing)


def test_binding_and_digest_are_compared(
    call: Call, approval: ApprovalRequest, reviewer: User
) -> None:
    shown = call(reviewer, "get", f"approvals/{approval.id}").json()
    path = f"approvals/{approval.id}/decisions"
    body = {"decision": "approve", "digest": shown["digest"]}
    stale = call(reviewer, "post", path, {**body, "binding": "0" * 64})
    assert stale.status_code == 409
    assert stale.json()["details"]["binding"] == shown["binding"]
    wrong = {**body, "digest": "0" * 64, "binding": shown["binding"]}
    assert call(reviewer, "post", path, wrong).status_code == 409
    assert call(reviewer, "post", path, {"decision": "approve"}).status_code == 400
    good = call(reviewer, "post", path, {**body, "binding": shown["binding"]})
    assert (good.status_code, good.json()["counts"]) == (201, True)


def test_get_never_decides(
    call: Call, approval: ApprovalRequest, reviewer: User, client: Client
) -> None:
    path = f"approvals/{approval.id}/decisions"
    token = access.issue_token(reviewer, "t", principal=reviewer)
    answered = client.get(
        f"/api/v1/{path}?decision=approve&digest={approval.digest}",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answered.status_code == 405
    client.force_login(reviewer)
    client.get(f"/{approval.url.split('/', 3)[3]}decide/?verdict=approve")
    assert not approval.decisions.exists()


def test_right_lost_a_second_ago_is_a_403(
    call: Call, approval: ApprovalRequest, reviewer: User, admin: User, schema: Schema
) -> None:
    access.grant(schema, Privilege.EXECUTE, reviewer, principal=admin)
    access.revoke(schema, Privilege.APPROVE, reviewer, principal=admin)
    body = {"decision": "approve", "digest": approval.digest}
    answered = call(reviewer, "post", f"approvals/{approval.id}/decisions", body)
    assert answered.status_code == 403


def test_decision_is_taken_back_by_delete(
    call: Call, version: ModelVersion, owner: User, reviewer: User, grantee: User, use
) -> None:
    approvals.create_policy(
        version.model, "Champion", approvals_needed=2, principal=owner
    )
    approval = approvals.request_alias(
        version.model, "Champion", version, principal=owner
    )
    path = f"approvals/{approval.id}/decisions"
    body = {"decision": "approve", "digest": approval.digest}
    made = call(reviewer, "post", path, body).json()
    use(grantee, Privilege.APPROVE)
    assert call(grantee, "delete", f"{path}/{made['id']}").status_code == 403
    gone = call(reviewer, "delete", f"{path}/{made['id']}").json()
    assert (gone["counts"], gone["why_not"]) == (False, "approver took it back")
    shown = call(reviewer, "get", f"approvals/{approval.id}").json()["decisions"]
    assert [one["why_not"] for one in shown] == ["approver took it back"]
    assert call(reviewer, "delete", f"{path}/{approval.id}").status_code == 404


def test_plan_is_asked_for_and_changed(
    call: Call, approval: ApprovalRequest, owner: User, reviewer: User
) -> None:
    path = f"approvals/{approval.id}/rollout-plan"
    plan = {"rollout_plan": {"bake_seconds": 60}}
    changed = call(owner, "put", path, plan).json()
    assert changed["rollout_plan"]["bake_seconds"] == 60
    assert changed["binding"] != approval.binding
    assert call(reviewer, "put", path, plan).status_code == 403
    bad = {"rollout_plan": {"bake_seconds": "long"}}
    refused = call(owner, "put", path, bad)
    assert (refused.status_code, "bake_seconds" in refused.text) == (400, True)
    wish = {"model": approval.model.full_name, "alias": "Champion", "version": 1}
    again = call(owner, "post", "approvals", {**wish, **plan})
    assert again.json()["id"] == str(approval.id)


def test_comments_and_timeline(
    call: Call, approval: ApprovalRequest, owner: User, stranger: User
) -> None:
    path = f"approvals/{approval.id}"
    assert call(owner, "post", f"{path}/comments", {"text": "why"}).status_code == 201
    thread = call(owner, "get", f"{path}/comments").json()["comments"]
    assert [(one["author"], one["text"]) for one in thread] == [("owner", "why")]
    assert call(stranger, "post", f"{path}/comments", {"text": "x"}).status_code == 404

    first = call(owner, "get", f"{path}/timeline?max_results=1").json()
    assert [one["type"] for one in first["events"]] == ["approval.requested"]
    token = first["next_page_token"]
    rest = call(owner, "get", f"{path}/timeline?page_token={token}").json()
    assert [one["type"] for one in rest["events"]] == ["approval.commented"]
    assert call(stranger, "get", f"{path}/timeline").status_code == 404


def test_delegations_by_token(
    call: Call, approval: ApprovalRequest, reviewer: User, grantee: User, use: Act
) -> None:
    use(grantee, Privilege.EXECUTE)
    ends_at = (timezone.now() + dt.timedelta(days=2)).isoformat()
    body = {"delegate": "grantee", "ends_at": ends_at, "reason": "holiday"}
    made = call(reviewer, "post", "delegations", body).json()
    assert (made["delegator"], made["is_in_force"]) == ("approver", True)
    assert call(grantee, "get", "delegations").json()["delegations"] == [made]
    vote = {
        "decision": "approve",
        "digest": approval.digest,
        "on_behalf_of": "approver",
    }
    decided = call(grantee, "post", f"approvals/{approval.id}/decisions", vote).json()
    assert (decided["approver"], decided["on_behalf_of"]) == ("grantee", "approver")
    ended = call(reviewer, "delete", f"delegations/{made['id']}").json()
    assert ended["is_in_force"] is False
    unknown = {**body, "delegate": "nobody"}
    assert call(reviewer, "post", "delegations", unknown).status_code == 404


# --- lists -----------------------------------------------------------------------


@pytest.fixture
def many(version: ModelVersion, owner: User) -> list[ApprovalRequest]:
    """Open requests for five protected aliases, the newest first."""
    approvals.create_policy(version.model, "a*", principal=owner)
    made = [
        approvals.request_alias(version.model, f"a{n}", version, principal=owner)
        for n in range(5)
    ]
    return made[::-1]


def _pages(call: Call, person: User, query: str) -> list[str]:
    found, token = [], ""
    for _ in range(10):
        path = f"approvals?max_results=2&{query}&page_token={token}"
        answered = call(person, "get", path).json()
        found += [one["id"] for one in answered["approvals"]]
        token = answered.get("next_page_token", "")
        if not token:
            return found
    raise AssertionError("it never ends")


def test_lists_are_filtered_and_paged(
    call: Call, many: list[ApprovalRequest], owner: User, reviewer: User
) -> None:
    ids = [str(one.id) for one in many]
    assert _pages(call, reviewer, "assignee=me") == ids
    assert _pages(call, owner, "requester=me") == ids
    assert _pages(call, owner, "assignee=me") == []
    assert _pages(call, reviewer, "requester=me") == []
    assert _pages(call, reviewer, "model=prod.fraud.scorer&state=pending") == ids
    assert _pages(call, reviewer, "model=prod.fraud.other") == []

    approvals.decide(many[2], "approve", digest=many[2].digest, principal=reviewer)
    assert _pages(call, reviewer, "assignee=me") == ids[:2] + ids[3:]
    assert _pages(call, reviewer, "state=applied") == [ids[2]]


def test_list_of_who_may_not_decide_is_empty(
    call: Call, many: list[ApprovalRequest], stranger: User, use: Act
) -> None:
    other = UserFactory()
    use(other, Privilege.EXECUTE)
    assert _pages(call, other, "assignee=me") == []
    assert _pages(call, stranger, "state=pending") == []
