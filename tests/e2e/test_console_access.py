"""Who may do what, changed in a real browser: with script, and without.

One story with script for what a person does in the Permissions tab and beside it,
one without for the forms that write.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from access import services as access
from access.authz import is_allowed
from access.models import AccessToken, Membership, User
from access.privileges import Privilege
from registry.models import ModelVersion, RegisteredModel
from registry.texts import tags_of_model
from tests.e2e.browser import PASSWORD, open_page, sign_in

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

MODEL = "/catalog/prod/fraud/scorer/"
GRANTS = "/objects/model/prod.fraud.scorer/permissions/"


@pytest.fixture
def keeper(owner: User, grantee: User, version: ModelVersion, admin: User) -> User:
    """The owner of the model with a password, and a service principal."""
    owner.set_password(PASSWORD)
    owner.save()
    access.create_service_principal("scoring-job", owner, principal=admin)
    return owner


def test_owner_grants_after_a_preview_asks_why_and_revokes(
    chromium: Browser, live_server: LiveServer, keeper: User, grantee: User
) -> None:
    page = open_page(chromium, live_server)
    sign_in(page, keeper)
    page.get_by_role("searchbox").fill("scor")
    page.get_by_role("searchbox").press("Enter")
    page.get_by_role("link", name="prod.fraud.scorer").click()
    page.get_by_role("link", name="Permissions").click()
    page.get_by_role("link", name="Grant", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("To").fill("grantee")
    dialog.get_by_label("APPLY TAG").check()
    dialog.get_by_role("button", name="Preview").click()
    model = RegisteredModel.objects.get()
    expect(page.get_by_text("nothing is changed yet")).to_be_visible()
    expect(page.get_by_text("Nobody gains or loses anything")).to_be_visible()
    assert not model.grants.exists()  # type: ignore[attr-defined]  # of ModelGrant
    page.get_by_role("button", name="Grant", exact=True).click()
    expect(page.get_by_text("were changed")).to_be_visible()
    assert model.grants.count() == 1  # type: ignore[attr-defined]  # as above

    why = page.get_by_role("region", name="Why?")
    why.get_by_label("Principal").fill("grantee")
    why.get_by_label("May, or may not").select_option("move_alias")
    why.get_by_role("button", name="Explain").click()
    expect(page.get_by_text("can grant it").first).to_be_visible()
    expect(page.get_by_text("Denied", exact=True)).to_be_visible()

    page.goto(GRANTS)
    page.get_by_role("link", name="Revoke APPLY TAG of grantee").click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Nothing is granted on this model")).to_be_visible()
    assert not model.grants.exists()  # type: ignore[attr-defined]  # as above

    page.goto("/principals/scoring-job/")
    page.get_by_label("Name").fill("ci")
    page.get_by_role("button", name="Issue token").click()
    expect(page.get_by_text("shown only this once")).to_be_visible()
    assert AccessToken.objects.get().principal.username == "scoring-job"


def test_forms_work_without_script(
    chromium: Browser,
    live_server: LiveServer,
    keeper: User,
    grantee: User,
    admin: User,
) -> None:
    page = open_page(chromium, live_server, java_script_enabled=False)
    sign_in(page, keeper)
    model = RegisteredModel.objects.get()
    _grant(page, "grantee", "APPLY TAG")
    assert model.grants.count() == 1  # type: ignore[attr-defined]  # of ModelGrant
    page.goto(MODEL)
    page.get_by_label("Key of the tag").fill("team")
    page.get_by_label("Value of the tag").fill("fraud")
    page.get_by_role("button", name="Set").click()
    assert tags_of_model(model) == {"team": "fraud"}

    page.goto(GRANTS)
    page.get_by_role("link", name="Transfer").click()
    page.get_by_label("New owner").fill("grantee")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("may no longer").first).to_be_visible()
    page.get_by_label("to confirm").fill(model.full_name)
    page.get_by_role("button", name="Transfer ownership").click()
    model.refresh_from_db()
    assert model.owner == grantee
    assert not is_allowed(keeper, Privilege.OWN, model)

    admin.set_password(PASSWORD)
    admin.save()
    page = open_page(chromium, live_server, java_script_enabled=False)
    sign_in(page, admin)
    page.goto("/principals/")
    page.get_by_role("region", name="New group").get_by_label("Name").fill("team")
    page.get_by_role("button", name="Create group").click()
    page.get_by_label("New member").fill("grantee")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("grantee is in team now")).to_be_visible()
    assert Membership.objects.get().member == grantee


def _grant(page: Page, holder: str, privilege: str) -> None:
    page.goto(GRANTS)
    page.get_by_role("link", name="Grant", exact=True).click()
    expect(
        page.get_by_role("heading", name="Grant on prod.fraud.scorer")
    ).to_be_visible()
    page.get_by_label("To").fill(holder)
    page.get_by_label(privilege).check()
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Grant", exact=True).click()
    expect(page.get_by_text("were changed")).to_be_visible()
