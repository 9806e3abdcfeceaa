"""Every page renders for who may see it, and is not found for who may not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver

from access.models import User
from approvals.models import ApprovalRequest
from events.services import emit
from events.types import EventType
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel
from serving.models import Endpoint, Rollout
from tests.factories import CatalogFactory, SchemaFactory

Browser = Callable[[User], Client]

MODEL = "/catalog/prod/fraud/scorer/"
ENDPOINT = "/endpoints/prod.fraud.payments/"
LISTS = ["/", "/catalog/", "/approvals/", "/endpoints/", "/runs/", "/activity/"]
OBJECTS = [
    "/catalog/prod/",
    "/catalog/prod/fraud/",
    MODEL,
    f"{MODEL}versions/1/",
    ENDPOINT,
]


@pytest.mark.parametrize("path", [*LISTS, "/account/", *OBJECTS])
def test_pages_ask_strangers_from_the_street_to_sign_in(
    client: Client, db: None, path: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/sign-in/?next=/")


@pytest.mark.parametrize("path", [*LISTS, "/account/", *OBJECTS])
def test_pages_render_for_owner_and_approver(
    browser: Browser, owner: User, reviewer: User, rollout: Rollout, path: str
) -> None:
    for person in (owner, reviewer):
        answer = browser(person).get(path)
        assert answer.status_code == 200
        html = answer.content.decode()
        assert html.count("<h1") == 1
        assert " style=" not in html
        assert not re.search(r"<script(?![^>]*\bsrc=)", html)


@pytest.mark.parametrize("path", OBJECTS)
def test_objects_are_not_found_for_a_stranger(
    browser: Browser, stranger: User, rollout: Rollout, path: str
) -> None:
    answer = browser(stranger).get(path)
    assert answer.status_code == 404
    assert "Not found" in answer.content.decode()


@pytest.mark.parametrize("path", LISTS)
def test_lists_hide_everything_from_a_stranger(
    browser: Browser, stranger: User, rollout: Rollout, path: str
) -> None:
    answer = browser(stranger).get(path)
    assert answer.status_code == 200
    assert "prod" not in answer.content.decode()


def test_request_is_not_found_for_a_stranger(
    browser: Browser, stranger: User, approval: ApprovalRequest
) -> None:
    assert browser(stranger).get(f"/approvals/{approval.pk}/").status_code == 404


def test_pages_carry_a_policy_that_forbids_inline_code(
    client: Client, db: None
) -> None:
    policy = client.get("/sign-in/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_unknown_address_gets_a_page_that_says_so(client: Client, db: None) -> None:
    answer = client.get("/nothing/here", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "There is no page at this address." in answer.content.decode()


def test_model_page_shows_what_matters(
    browser: Browser, reviewer: User, rollout: Rollout, endpoint: Endpoint
) -> None:
    html = browser(reviewer).get(MODEL).content.decode()
    for text in (
        "Champion",
        "v1",
        "v2",
        rollout.version.digest[:12],
        endpoint.full_name,
    ):
        assert text in html


def test_model_page_shows_the_open_request(
    browser: Browser, reviewer: User, approval: ApprovalRequest
) -> None:
    html = browser(reviewer).get(MODEL).content.decode()
    assert "Review pending" in html
    assert f"/approvals/{approval.pk}/" in html


def test_version_page_shows_files_with_their_hashes(
    browser: Browser, owner: User, version: ModelVersion
) -> None:
    html = browser(owner).get(f"{MODEL}versions/1/").content.decode()
    assert version.digest in html
    for file in version.manifest:
        assert file["path"] in html
        assert file["sha256"] in html


def test_version_page_shows_the_signature(
    browser: Browser, owner: User, version: ModelVersion
) -> None:
    html = browser(owner).get(f"{MODEL}versions/1/").content.decode()
    assert "<code>x</code>" in html
    assert "<code>double</code>" in html


def test_versions_of_a_long_history_come_page_by_page(
    browser: Browser, owner: User, model: RegisteredModel, version: ModelVersion
) -> None:
    for number in range(2, 32):
        ModelVersion.objects.create(
            model=model, number=number, created_by=owner, source="x"
        )
    first = browser(owner).get(MODEL).content.decode()
    assert "versions/31/" in first
    assert "versions/6/" not in first
    second = browser(owner).get(f"{MODEL}?before=7").content.decode()
    assert "versions/6/" in second
    assert "versions/1/" in second


def test_models_of_a_big_schema_come_page_by_page(
    browser: Browser, owner: User, model: RegisteredModel
) -> None:
    for number in range(30):
        registry.create_model(f"prod.fraud.m{number:02}", principal=owner)
    first = browser(owner).get("/catalog/prod/fraud/").content.decode()
    assert "?after=prod.fraud.m24" in first
    asked = "/catalog/prod/fraud/?after=prod.fraud.m24"
    second = browser(owner).get(asked).content.decode()
    assert "m25" in second
    assert "m24</a>" not in second


def test_catalogs_and_schemas_come_page_by_page(browser: Browser, admin: User) -> None:
    catalogs = CatalogFactory.create_batch(26, owner=admin)
    many = sorted(catalogs, key=lambda catalog: catalog.name)[0]
    schemas = SchemaFactory.create_batch(26, catalog=many, owner=admin)
    names = sorted(schema.name for schema in schemas)
    client = browser(admin)
    tree = client.get("/catalog/").content.decode()
    assert f"All schemas of {many.name}" in tree
    assert f">{names[9]}</a>" in tree
    assert f">{names[10]}</a>" not in tree
    last = sorted(catalog.name for catalog in catalogs)[24]
    assert f'href="?after={last}"' in tree
    assert (
        f"{many.name}</a>" not in client.get(f"/catalog/?after={last}").content.decode()
    )

    first = client.get(f"/catalog/{many.name}/").content.decode()
    assert f'href="?after={names[24]}"' in first
    second = client.get(f"/catalog/{many.name}/?after={names[24]}").content.decode()
    assert f">{names[25]}</a>" in second
    assert f">{names[24]}</a>" not in second


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/catalog/", 8),
        ("/catalog/prod/fraud/", 9),
        (MODEL, 15),
        ("/approvals/?show=all", 7),
        ("/endpoints/", 9),
        ("/activity/", 6),
        ("/", 11),
    ],
)
def test_lists_ask_no_query_per_row(
    browser: Browser,
    owner: User,
    rollout: Rollout,
    make_version: Callable[..., ModelVersion],
    django_assert_max_num_queries: Any,
    path: str,
    most: int,
) -> None:
    for content in range(3, 8):
        make_version(rollout.endpoint.model, content=str(content))
    for number in range(5):
        registry.create_model(f"prod.fraud.m{number}", principal=owner)
    client = browser(owner)
    with django_assert_max_num_queries(most):
        assert client.get(path).status_code == 200


def test_activity_filters_by_subject_actor_and_type(
    browser: Browser, admin: User, model: RegisteredModel
) -> None:
    client = browser(admin)
    by_subject = client.get("/activity/?subject=prod.fraud.scorer").content.decode()
    assert "created the model" in by_subject
    assert "created the schema" not in by_subject
    by_actor = client.get("/activity/?actor=admin").content.decode()
    assert "created the model" not in by_actor
    by_type = client.get("/activity/?type=schema.created").content.decode()
    assert "created the schema" in by_type
    assert "created the model" not in by_type


def test_activity_goes_on_where_the_page_before_ended(
    browser: Browser, admin: User, model: RegisteredModel
) -> None:
    for number in range(60):
        _happen(model, number)
    client = browser(admin)
    first = client.get("/activity/?type=tag.set").content.decode()
    older = re.search(r"before=(\d+)\">Older events", first)
    assert older
    second = client.get(f"/activity/?type=tag.set&before={older[1]}").content.decode()
    assert "tag k10 " in first
    assert "tag k10 " not in second
    assert "tag k9 " in second


def _happen(model: RegisteredModel, number: int) -> None:
    from django.db import transaction

    with transaction.atomic():
        emit(EventType.TAG_SET, model, principal=None, key=f"k{number}")


def test_live_parts_are_polled_until_the_end(
    browser: Browser, pilot: User, rollout: Rollout
) -> None:
    client = browser(pilot)
    poll = client.get(ENDPOINT, headers={"HX-Request": "true"})
    assert poll.status_code == 200
    assert "<html" not in poll.content.decode()
    Rollout.objects.filter(pk=rollout.pk).update(status="rolled_back")
    assert client.get(ENDPOINT, headers={"HX-Request": "true"}).status_code == 286


def test_closed_request_ends_the_polling_and_reloads(
    browser: Browser, reviewer: User, endpoint: Endpoint
) -> None:
    closed = ApprovalRequest.objects.get()
    answer = browser(reviewer).get(
        f"/approvals/{closed.pk}/", headers={"HX-Request": "true"}
    )
    assert answer.status_code == 286
    assert answer.headers["HX-Refresh"] == "true"


def test_every_page_has_a_name() -> None:
    patterns = get_resolver("console.urls").url_patterns
    assert all(getattr(pattern, "name", None) for pattern in patterns)
