"""Who only browses sees that an endpoint is there, and nothing of its traffic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry.models import Catalog, ModelVersion
from serving.models import Endpoint, Rollout
from tests.serving.conftest import Move

NAME = "prod.fraud.live"
PAGE = f"/endpoints/{NAME}/"
Call = Callable[..., Any]


@pytest.fixture
def rollout(move: Move, version: ModelVersion) -> Rollout:
    return move(version)


@pytest.fixture
def browser(rollout: Rollout, catalog: Catalog, grantee: User, admin: User) -> User:
    """The grantee, who holds BROWSE on prod and nothing else."""
    access.grant(catalog, Privilege.BROWSE, grantee, principal=admin)
    return grantee


def test_browser_gets_name_comment_and_owner(call: Call, browser: User) -> None:
    [listed] = call(browser, "get", "endpoints").json()["endpoints"]
    shown = call(browser, "get", f"endpoints/{NAME}").json()
    assert listed == shown
    assert shown["browse_only"] is True
    assert (shown["full_name"], shown["owner"]) == (NAME, "owner")
    assert not {"model", "alias", "plan", "routes", "rollout"} & set(shown)


def test_browser_is_refused_the_rollout_and_its_levers(
    call: Call, browser: User, rollout: Rollout
) -> None:
    for method, path in (
        ("get", f"rollouts/{rollout.pk}"),
        ("post", f"rollouts/{rollout.pk}/abort"),
        ("post", f"endpoints/{NAME}/rollback"),
    ):
        refused = call(browser, method, path)
        assert refused.status_code == 403, path
        assert refused.json()["details"]["reasons"], path
    assert Rollout.objects.get().status == rollout.status


@pytest.mark.parametrize("privilege", [Privilege.QUERY, Privilege.SHIFT_TRAFFIC])
def test_grantee_of_a_right_to_its_data_gets_the_details(
    call: Call,
    browser: User,
    endpoint: Endpoint,
    owner: User,
    use: Callable[..., None],
    privilege: Privilege,
) -> None:
    if privilege != Privilege.QUERY:  # it needs no USE
        use(browser)
    access.grant(endpoint, privilege, browser, principal=owner)
    shown = call(browser, "get", f"endpoints/{NAME}").json()
    assert (shown["browse_only"], shown["alias"]) == (False, "Champion")
    [listed] = call(browser, "get", "endpoints").json()["endpoints"]
    assert listed["model"] == "prod.fraud.scorer"


def test_owner_and_container_owner_get_the_details(
    call: Call, rollout: Rollout, owner: User, endpoint: Endpoint, stranger: User
) -> None:
    access.transfer_ownership(
        endpoint.schema, stranger, principal=endpoint.schema.owner
    )
    for who in (owner, stranger):
        assert call(who, "get", f"endpoints/{NAME}").json()["routes"] is not None


def test_stranger_sees_no_endpoint(
    call: Call, rollout: Rollout, stranger: User
) -> None:
    assert call(stranger, "get", "endpoints").json() == {"endpoints": []}
    assert call(stranger, "get", f"endpoints/{NAME}").status_code == 404


def test_console_shows_a_browser_that_it_is_there_and_no_more(
    client: Client, browser: User
) -> None:
    client.force_login(browser)
    listed = client.get("/endpoints/").content.decode()
    assert "browse only" in listed
    assert "Champion" not in listed
    page = client.get(PAGE)
    assert page.status_code == 200
    text = page.content.decode()
    assert "and no more" in text
    assert "Champion" not in text
    assert client.get(f"{PAGE}abort/").status_code == 403
    activity = client.get(f"/objects/endpoint/{NAME}/activity/").content.decode()
    assert "created the endpoint" not in activity
    assert NAME not in client.get("/").content.decode()
