"""Search in the top bar: by name and tag, only what one may see, page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access.models import User
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel

Browser = Callable[[User], Client]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=scor", "prod.fraud.scorer"),
        ("q=FRAUD.S", "prod.fraud.scorer"),
        ("q=chargebacks", "prod.fraud.scorer"),
        ("q=team", "prod.fraud.scorer"),
        ("q=checked&kind=versions", "prod.fraud.scorer/1"),
        ("q=scorer/1&kind=versions", "prod.fraud.scorer/1"),
        ("q=od.fr&kind=schemas", "prod.fraud"),
        ("q=pro&kind=catalogs", "prod"),
    ],
)
def test_finds_by_part_of_name_or_tag_what_one_may_see(
    browser: Browser,
    owner: User,
    stranger: User,
    version: ModelVersion,
    query: str,
    found: str,
) -> None:
    registry.set_model_tag(version.model, "team", "chargebacks", principal=owner)
    registry.set_version_tag(version, "validation", "checked", principal=owner)
    link = f">{found}</a>"
    assert link in browser(owner).get(f"/search/?{query}").content.decode()
    assert link not in browser(stranger).get(f"/search/?{query}").content.decode()


@pytest.mark.parametrize(
    "query", ["", "q=%25", "q=_", "q=!", "q=nothing", "q=x&kind=y"]
)
def test_signs_of_patterns_find_nothing_by_themselves(
    browser: Browser, owner: User, model: RegisteredModel, query: str
) -> None:
    answer = browser(owner).get(f"/search/?{query}")
    assert answer.status_code == 200
    assert "prod.fraud.scorer</a>" not in answer.content.decode()


def test_results_come_page_by_page(
    browser: Browser, owner: User, model: RegisteredModel
) -> None:
    for number in range(30):
        registry.create_model(f"prod.fraud.many{number:02}", principal=owner)
    client = browser(owner)
    first = client.get("/search/?q=many").content.decode()
    assert "after=prod.fraud.many24" in first
    second = client.get("/search/?q=many&after=prod.fraud.many24").content.decode()
    assert "many25</a>" in second
    assert "many24</a>" not in second


def test_search_asks_no_query_per_row(
    browser: Browser,
    owner: User,
    model: RegisteredModel,
    django_assert_max_num_queries: Any,
) -> None:
    for number in range(8):
        registry.create_model(f"prod.fraud.many{number}", principal=owner)
    client = browser(owner)
    with django_assert_max_num_queries(6):
        assert client.get("/search/?q=many").status_code == 200
