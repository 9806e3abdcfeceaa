"""What one can do in the console: plain forms, the same services, refusals shown."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from access.models import AccessToken, User
from approvals import services as approvals
from approvals.models import ApprovalRequest, Via
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel
from serving.models import Endpoint, Rollout
from tests.console.conftest import run

Browser = Callable[[User], Client]

VERSION = "/catalog/prod/fraud/scorer/versions/1/"
ENDPOINT = "/endpoints/prod.fraud.payments/"


# --- sign in -------------------------------------------------------------------


def test_person_signs_in_and_goes_on_to_the_page(client: Client, owner: User) -> None:
    owner.set_password("correct horse")
    owner.save()
    form = {"username": "owner", "password": "correct horse", "next": "/catalog/"}
    answer = client.post("/sign-in/", form)
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/catalog/"
    assert client.get("/catalog/").status_code == 200


def test_wrong_password_is_told(client: Client, owner: User) -> None:
    answer = client.post("/sign-in/", {"username": "owner", "password": "no"})
    assert answer.status_code == 403
    assert "Wrong user name or password" in answer.content.decode()


def test_signing_in_never_leads_to_a_foreign_site(client: Client, owner: User) -> None:
    owner.set_password("correct horse")
    owner.save()
    form = {"username": "owner", "password": "correct horse", "next": "//evil.example/"}
    assert client.post("/sign-in/", form).headers["Location"] == "/"


def test_signing_out_ends_the_session(browser: Browser, owner: User) -> None:
    client = browser(owner)
    client.post("/sign-out/")
    assert client.get("/").status_code == 302


def test_forms_are_refused_without_a_csrf_token(owner: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    answer = client.post("/account/issue-token/", {"name": "x", "days": "1"})
    assert answer.status_code == 403
    assert not AccessToken.objects.exists()


# --- ask for an alias, decide -----------------------------------------------------


def test_owner_asks_for_a_protected_alias(
    browser: Browser, owner: User, model: RegisteredModel, version: ModelVersion
) -> None:
    approvals.create_policy(model, "Champion", principal=owner)
    form = {"alias": "Champion", "reason": "Better recall"}
    answer = browser(owner).post(f"{VERSION}request-alias/", form, follow=True)
    asked = ApprovalRequest.objects.get()
    assert (asked.alias, asked.reason, asked.version) == (
        "Champion",
        "Better recall",
        version,
    )
    assert answer.redirect_chain == [(f"/approvals/{asked.pk}/", 302)]
    assert "was asked for" in answer.content.decode()


def test_unprotected_alias_moves_at_once(
    browser: Browser, owner: User, model: RegisteredModel, version: ModelVersion
) -> None:
    form = {"alias": "Challenger"}
    answer = browser(owner).post(f"{VERSION}request-alias/", form, follow=True)
    alias = registry.get_alias(model, "Challenger")
    assert alias is not None
    assert alias.version == version
    assert "points at version 1 now" in answer.content.decode()


def test_reader_who_asks_is_told_what_is_missing(
    browser: Browser, reviewer: User, version: ModelVersion
) -> None:
    answer = browser(reviewer).post(f"{VERSION}request-alias/", {"alias": "Champion"})
    html = answer.content.decode()
    assert answer.status_code == 403
    assert "Missing <strong>ownership</strong>" in html
    assert "ask owner" in html
    assert "<h1>Version 1</h1>" in html


def test_refused_form_keeps_what_was_typed(
    browser: Browser, owner: User, model: RegisteredModel, version: ModelVersion
) -> None:
    approvals.create_policy(model, "*", principal=owner)
    form = {"alias": "not valid!", "reason": "Because it is better"}
    answer = browser(owner).post(f"{VERSION}request-alias/", form)
    assert answer.status_code == 400
    assert "Because it is better" in answer.content.decode()


def test_approver_approves_and_sees_the_result(
    browser: Browser, reviewer: User, approval: ApprovalRequest
) -> None:
    client = browser(reviewer)
    page = client.get(f"/approvals/{approval.pk}/").content.decode()
    assert f'name="digest" value="{approval.digest}"' in page
    form = {"verdict": "approve", "comment": "Fine", "digest": approval.digest}
    answer = client.post(f"/approvals/{approval.pk}/decide/", form, follow=True)
    html = answer.content.decode()
    assert "You approved" in html
    assert "Applied" in html
    assert "Fine" in html
    decision = approval.decisions.get()
    assert (decision.approver, decision.via) == (reviewer, Via.CONSOLE)


def test_approver_rejects(
    browser: Browser, reviewer: User, approval: ApprovalRequest
) -> None:
    form = {"verdict": "reject", "comment": "Too slow", "digest": approval.digest}
    answer = browser(reviewer).post(
        f"/approvals/{approval.pk}/decide/", form, follow=True
    )
    approval.refresh_from_db()
    assert approval.status == "rejected"
    assert "Rejected" in answer.content.decode()


def test_decision_for_another_digest_is_refused_with_the_comment_kept(
    browser: Browser, reviewer: User, approval: ApprovalRequest
) -> None:
    form = {"verdict": "approve", "digest": "0" * 64, "comment": "Looked at it"}
    answer = browser(reviewer).post(f"/approvals/{approval.pk}/decide/", form)
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "not the digest" in html
    assert "Looked at it" in html
    assert not approval.decisions.exists()


def test_requester_gets_a_reason_instead_of_a_form(
    browser: Browser, owner: User, approval: ApprovalRequest
) -> None:
    html = browser(owner).get(f"/approvals/{approval.pk}/").content.decode()
    assert "four eyes" in html
    assert 'name="verdict"' not in html


def test_requester_who_posts_anyway_is_refused(
    browser: Browser, owner: User, approval: ApprovalRequest
) -> None:
    form = {"verdict": "approve", "digest": approval.digest}
    answer = browser(owner).post(f"/approvals/{approval.pk}/decide/", form)
    assert answer.status_code == 403
    assert not approval.decisions.exists()


def test_stranger_cannot_decide(
    browser: Browser, stranger: User, approval: ApprovalRequest
) -> None:
    form = {"verdict": "approve", "digest": approval.digest}
    answer = browser(stranger).post(f"/approvals/{approval.pk}/decide/", form)
    assert answer.status_code == 404
    assert not approval.decisions.exists()


def test_waiting_requests_are_counted_until_decided(
    browser: Browser, reviewer: User, approval: ApprovalRequest
) -> None:
    client = browser(reviewer)
    assert "waiting for you" in client.get("/").content.decode()
    form = {"verdict": "approve", "digest": approval.digest}
    client.post(f"/approvals/{approval.pk}/decide/", form)
    assert "waiting for you" not in client.get("/catalog/").content.decode()


def test_requester_withdraws(
    browser: Browser, owner: User, approval: ApprovalRequest
) -> None:
    browser(owner).post(f"/approvals/{approval.pk}/cancel/")
    approval.refresh_from_db()
    assert approval.status == "cancelled"


# --- traffic ---------------------------------------------------------------------


def test_pilot_promotes_after_a_confirmation(
    browser: Browser, pilot: User, rollout: Rollout
) -> None:
    client = browser(pilot)
    asked = client.get(f"{ENDPOINT}promote/")
    assert "goes to its next step" in asked.content.decode()
    assert Rollout.objects.get(pk=rollout.pk).step == 0
    form = {"rollout": str(rollout.pk)}
    answer = client.post(f"{ENDPOINT}promote/", form, follow=True)
    assert Rollout.objects.get(pk=rollout.pk).step == 1
    assert "Promote: done." in answer.content.decode()


def test_pilot_pauses_and_resumes(
    browser: Browser, pilot: User, rollout: Rollout
) -> None:
    client, form = browser(pilot), {"rollout": str(rollout.pk)}
    client.post(f"{ENDPOINT}pause/", form)
    assert Rollout.objects.get(pk=rollout.pk).status == "paused"
    client.post(f"{ENDPOINT}resume/", form)
    assert Rollout.objects.get(pk=rollout.pk).status == "step"


def test_pilot_promotes_fully_then_rolls_back(
    browser: Browser, pilot: User, rollout: Rollout, endpoint: Endpoint
) -> None:
    client, form = browser(pilot), {"rollout": str(rollout.pk)}
    client.post(f"{ENDPOINT}promote-full/", form)
    run(rollout, until="succeeded")
    client.post(f"{ENDPOINT}rollback/")
    latest = endpoint.rollouts.first()
    assert latest is not None
    assert (latest.kind, latest.version.number) == ("rollback", 1)


def test_pilot_aborts(browser: Browser, pilot: User, rollout: Rollout) -> None:
    browser(pilot).post(f"{ENDPOINT}abort/", {"rollout": str(rollout.pk)})
    assert Rollout.objects.get(pk=rollout.pk).status in {"rolling_back", "rolled_back"}


def test_lever_for_a_rollout_that_is_over_is_refused(
    browser: Browser, pilot: User, rollout: Rollout
) -> None:
    answer = browser(pilot).post(f"{ENDPOINT}abort/", {"rollout": "another"})
    assert answer.status_code == 409
    assert "Another rollout began" in answer.content.decode()


def test_reader_sees_no_levers_and_may_not_pull_them(
    browser: Browser, owner: User, reviewer: User, rollout: Rollout
) -> None:
    client = browser(reviewer)
    assert "/abort/" not in client.get(ENDPOINT).content.decode()
    answer = client.post(f"{ENDPOINT}abort/", {"rollout": str(rollout.pk)})
    assert answer.status_code == 403
    assert "SHIFT TRAFFIC" in answer.content.decode()
    assert Rollout.objects.get(pk=rollout.pk).status == "step"


def test_unknown_lever_is_not_found(
    browser: Browser, pilot: User, rollout: Rollout
) -> None:
    assert browser(pilot).get(f"{ENDPOINT}explode/").status_code == 404


# --- account -----------------------------------------------------------------------


def test_token_is_shown_once_and_works(browser: Browser, owner: User) -> None:
    client = browser(owner)
    form = {"name": "laptop", "days": "30", "scopes": ["registry:read", "runs:start"]}
    answer = client.post("/account/issue-token/", form)
    token = AccessToken.objects.get()
    assert token.scopes == ["registry:read", "runs:start"]
    html = answer.content.decode()
    assert answer.headers["Cache-Control"] == "no-store"
    assert html.count(token.hint) >= 1
    assert "laptop" in client.get("/account/").content.decode()


def test_token_life_must_be_a_number_of_days(browser: Browser, owner: User) -> None:
    answer = browser(owner).post("/account/issue-token/", {"name": "x", "days": "∞"})
    assert answer.status_code == 400
    assert "1 to 366 days" in answer.content.decode()


def test_token_without_a_scope_is_refused(browser: Browser, owner: User) -> None:
    form = {"name": "x", "days": "1"}
    answer = browser(owner).post("/account/issue-token/", form)
    assert answer.status_code == 400
    assert not AccessToken.objects.exists()


def test_person_revokes_only_own_tokens(
    browser: Browser, owner: User, stranger: User
) -> None:
    form = {"name": "laptop", "days": "30", "scopes": "all"}
    browser(owner).post("/account/issue-token/", form)
    token = AccessToken.objects.get()
    form = {"token": str(token.pk)}
    assert browser(stranger).post("/account/revoke-token/", form).status_code == 404
    browser(owner).post("/account/revoke-token/", form)
    token.refresh_from_db()
    assert token.revoked_at is not None


def test_theme_is_in_the_first_paint(browser: Browser, owner: User) -> None:
    client = browser(owner)
    client.post("/account/theme/", {"theme": "dark"})
    assert 'data-theme="dark"' in client.get("/").content.decode()
    client.post("/account/theme/", {"theme": "<script>"})
    assert 'data-theme="dark"' in client.get("/").content.decode()


def test_address_and_preference_are_kept(
    owner: User, browser: Callable[..., Client]
) -> None:
    client = browser(owner)
    page = client.get("/account/").content.decode()
    assert "This installation sends no mail." in page
    assert 'name="wants_mail" checked' in page
    client.post("/account/mail/", {"email": " owner@example.org "})
    page = client.get("/account/").content.decode()
    assert 'value="owner@example.org"' in page
    assert 'name="wants_mail" checked' not in page
    refused = client.post("/account/mail/", {"email": "nobody", "wants_mail": "on"})
    assert refused.status_code == 400
    owner.refresh_from_db()
    assert (owner.email, owner.wants_mail) == ("owner@example.org", False)
