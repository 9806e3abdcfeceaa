"""The page of a request: evidence, conditions, decisions, voices and the thread."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest, Delegation
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel, Schema
from tests.factories import UserFactory

Browser = Callable[[User], Client]
ALIAS = "Champion"


@pytest.fixture
def two(
    model: RegisteredModel, version: ModelVersion, reviewer: User, owner: User
) -> ApprovalRequest:
    """A request that needs two approvals and the check ci."""
    approvals.create_policy(
        model, ALIAS, approvals_needed=2, checks=["ci"], principal=owner
    )
    return approvals.request_alias(
        model,
        ALIAS,
        version,
        rollout_plan={"steps": [{"weight": 500, "min_duration_seconds": 60}]},
        principal=owner,
    )


def _page(browser: Browser, person: User, approval: ApprovalRequest) -> str:
    return browser(person).get(f"/approvals/{approval.pk}/").content.decode()


def _approve(approval: ApprovalRequest, person: User) -> None:
    approvals.decide(approval, "approve", digest=approval.digest, principal=person)


def test_page_says_what_exactly_is_agreed_to(
    browser: Browser, two: ApprovalRequest, reviewer: User
) -> None:
    html = _page(browser, reviewer, two)
    assert two.digest in html
    assert f'name="binding" value="{two.binding}"' in html
    assert "5% for 60 s, then 100% for 0 s" in html
    assert "2 more approvals by somebody with APPROVE" in html
    assert "Check ci has not reported" in html
    assert "0 of 2" in html
    assert "No metrics were recorded" in html


def test_page_that_is_out_of_date_is_told_what_changed(
    browser: Browser, two: ApprovalRequest, reviewer: User, owner: User
) -> None:
    form = {"verdict": "approve", "digest": two.digest, "binding": two.binding}
    approvals.edit_plan(two, {}, principal=owner)
    answer = browser(reviewer).post(f"/approvals/{two.pk}/decide/", form)
    assert answer.status_code == 409
    assert "the rollout plan was changed" in answer.content.decode()


def test_decision_that_does_not_count_is_struck_out_with_the_reason(
    browser: Browser,
    two: ApprovalRequest,
    reviewer: User,
    owner: User,
    admin: User,
    schema: Schema,
) -> None:
    _approve(two, reviewer)
    assert "<s>" not in _page(browser, owner, two)
    access.revoke(schema, Privilege.APPROVE, reviewer, principal=admin)
    html = _page(browser, owner, two)
    assert "<s><strong>approver</strong>" in html
    assert "does not count: approver lacks APPROVE" in html


def test_own_decision_is_taken_back_by_a_form(
    browser: Browser, two: ApprovalRequest, reviewer: User, owner: User
) -> None:
    _approve(two, reviewer)
    decision = two.decisions.get()
    assert "Take back" not in _page(browser, owner, two)
    assert "Take back" in _page(browser, reviewer, two)
    form = {"decision": str(decision.pk)}
    path = f"/approvals/{two.pk}/revoke/"
    assert browser(owner).post(path, form).status_code == 403
    assert browser(reviewer).post(path, {"decision": "x"}).status_code == 400
    html = browser(reviewer).post(path, form, follow=True).content.decode()
    assert "approver took it back" in html
    assert 'name="verdict"' in html


def test_comments_are_written_below(
    browser: Browser, two: ApprovalRequest, reviewer: User, grantee: User, use
) -> None:
    path = f"/approvals/{two.pk}/comment/"
    answer = browser(reviewer).post(path, {"text": "Why <b>now</b>?"}, follow=True)
    assert "Why &lt;b&gt;now&lt;/b&gt;?" in answer.content.decode()
    assert browser(reviewer).post(path, {"text": " "}).status_code == 400
    use(grantee, Privilege.EXECUTE)
    assert browser(grantee).post(path, {"text": "me too"}).status_code == 403
    assert "Your comment" not in _page(browser, grantee, two)


def test_delegate_decides_in_the_name_of_the_reviewer(
    browser: Browser, two: ApprovalRequest, reviewer: User, use: Callable[..., None]
) -> None:
    deputy = UserFactory(username="deputy")
    use(deputy, Privilege.EXECUTE)
    ends_at = (timezone.now() + dt.timedelta(days=2)).strftime("%Y-%m-%dT%H:%M")
    form = {"delegate": "deputy", "ends_at": ends_at, "reason": "holiday"}
    html = (
        browser(reviewer)
        .post("/approvals/delegations/give/", form, follow=True)
        .content.decode()
    )
    assert "deputy may decide on your behalf" in html

    client = browser(deputy)
    assert two.full_name in client.get("/approvals/").content.decode()
    page = client.get(f"/approvals/{two.pk}/").content.decode()
    assert "approver, who delegated it" in page
    vote = {"verdict": "approve", "digest": two.digest, "voice": "approver"}
    answer = client.post(f"/approvals/{two.pk}/decide/", vote, follow=True)
    assert "on behalf of <strong>approver</strong>" in answer.content.decode()
    assert two.full_name not in client.get("/approvals/").content.decode()

    given = Delegation.objects.get()
    end = {"delegation": str(given.pk)}
    client.post("/approvals/delegations/end/", end)
    given.refresh_from_db()
    assert given.revoked_by == deputy
    assert "delegation of approver to deputy ended" in _page(browser, reviewer, two)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"delegate": "nobody", "ends_at": "2099-01-01T00:00"}, "nobody"),
        ({"delegate": "owner", "ends_at": "soon"}, "ends_at must be"),
        ({"delegate": "owner", "ends_at": "2026-99-01T00:00"}, "ends_at must be"),
        ({"delegate": "owner", "ends_at": ""}, "ends_at"),
        ({"delegate": "approver", "ends_at": "2099-01-01T00:00"}, "somebody else"),
    ],
)
def test_wrong_delegation_is_refused_and_kept_in_the_form(
    browser: Browser, reviewer: User, owner: User, form: dict[str, str], told: str
) -> None:
    answer = browser(reviewer).post("/approvals/delegations/give/", form)
    assert answer.status_code in {400, 404}
    assert told in answer.content.decode()
    assert f'value="{form["delegate"]}"' in answer.content.decode()
    bad = browser(reviewer).post("/approvals/delegations/end/", {"delegation": "x"})
    assert bad.status_code == 400


def test_inbox_says_policy_and_progress(
    browser: Browser, two: ApprovalRequest, reviewer: User, owner: User
) -> None:
    _approve(two, reviewer)
    html = browser(owner).get("/approvals/?show=asked").content.decode()
    assert "1 of 2" in html
    assert "Champion of prod.fraud.scorer" in html


def test_evidence_shows_signature_and_data(
    browser: Browser,
    two: ApprovalRequest,
    reviewer: User,
    owner: User,
    make_version: Callable[..., ModelVersion],
) -> None:
    registry.set_alias(two.model, ALIAS, two.version, principal=owner)
    second = make_version(two.model, content="2")
    lineage = {"dataset": "prod.fraud.cells", "snapshot": "ab" * 32, "folder": ""}
    ModelVersion.objects.filter(pk=second.pk).update(
        signature={"inputs": '[{"type": "long", "name": "x"}]'},
        lineage=lineage,
    )
    second.refresh_from_db()
    approval = approvals.request_alias(two.model, ALIAS, second, principal=owner)
    html = _page(browser, reviewer, approval)
    assert "changed: input x: double → long" in html
    assert "removed: output 0: double" in html
    assert "prod.fraud.cells" in html


def test_admin_breaks_the_glass_with_a_reason_and_nobody_else_is_offered_it(
    browser: Browser, two: ApprovalRequest, reviewer: User, admin: User
) -> None:
    path = f"/approvals/{two.pk}/bypass/"
    assert "Break the glass" not in _page(browser, reviewer, two)
    assert browser(reviewer).post(path, {"reason": "now"}).status_code == 403
    assert "Break the glass" in _page(browser, admin, two)
    assert browser(admin).post(path, {"reason": " "}).status_code == 400
    form = {"reason": "the night shift needs it"}
    html = browser(admin).post(path, form, follow=True).content.decode()
    assert "You broke the glass" in html
    assert "admin broke the glass: the night shift needs it" in html
    two.refresh_from_db()
    assert two.status == "superseded"
