"""Lists: the same answers as MLflow's store and as the rule itself, page by page."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities.model_registry import RegisteredModelTag

from access import services as access
from access.authz import shows_details, shows_metadata
from access.facts import facts_of
from access.models import User
from access.privileges import GRANTABLE, Privilege
from access.securables import Securable
from core.errors import InvalidParameter
from registry import listing
from registry import services as registry
from registry.filters import MODELS, VERSIONS, read_filter
from registry.mlflow_rows import change_version, insert_version
from registry.models import Catalog, ModelVersion, RegisteredModel, Schema
from registry.store import store
from tests.factories import GroupFactory, UserFactory

PROMPT = "mlflow.prompt.is_prompt"
CLIENTS_CLAUSE = f"tag.`{PROMPT}` != 'true'"
MODEL_FILTERS = [
    "",
    CLIENTS_CLAUSE,
    f"tag.`{PROMPT}` = 'true'",
    f"tag.`{PROMPT}` = 'false'",
    "name = 'a.x.one'",
    "name != 'a.x.one'",
    f"name LIKE 'a.%' AND {CLIENTS_CLAUSE}",
    "name LIKE 'a-%'",
    "name LIKE '%.X%'",
    "name LIKE '%_wo'",
    "name ILIKE '%.ONE'",
    "name IN ('a.x.one', 'b.y.two', 'no.such.model')",
    "name NOT IN ('a.x.one', 'b.y.two')",
    "name IN ('a.x.one', 'b.y.two') AND name LIKE 'b%'",
    "tags.stage = 'gold'",
    "tags.stage != 'gold' AND tag.team LIKE 'R%'",
    "tags.team ILIKE 'r%' AND tags.stage LIKE '_old'",
    "tags.stage = 'gold' AND tags.stage = 'lead'",
    "tags.note = 'it*[s] 100%'",
    "tags.note LIKE 'it*[%'",
]
MODEL_ORDERS = [
    [],
    ["name DESC"],
    ["last_updated_timestamp DESC"],
    ["last_updated_timestamp ASC", "name DESC"],
]
VERSION_FILTERS = [
    "",
    CLIENTS_CLAUSE,
    "name = 'a.x.one'",
    "name IN ('a.x.one', 'b.y.two')",
    "name LIKE 'a-b.%'",
    "version_number > 1",
    "version_number <= 1 AND name ILIKE 'A.%'",
    "run_id = 'r2'",
    "run_id IN ('r1', 'r3')",
    "run_id != 'r1'",
    "source_path LIKE '%_even'",
    "tags.stage = 'gold'",
    f"tags.`{PROMPT}` = 'true'",
]
VERSION_ORDERS = [
    [],
    ["name ASC"],
    ["name DESC", "version_number ASC"],
    ["creation_timestamp DESC"],
    ["version_number DESC"],
]


@pytest.fixture
def rng() -> random.Random:
    return random.Random(1)


@pytest.fixture
def models(admin: User, rng: random.Random) -> list[RegisteredModel]:
    """A small registry whose names sort differently by level and by character."""
    schemas = []
    for catalog in ("a", "a-b", "b"):
        registry.create_catalog(catalog, principal=admin)
        for schema in ("x", "x-y", "y"):
            full_name = f"{catalog}.{schema}"
            schemas.append(registry.create_schema(full_name, principal=admin))
    made = [
        _make_model(schema, name, rng, admin)
        for schema in schemas
        for name in ("one", "two", "X-3")
        if rng.random() < 0.8 or (str(schema), name) == ("a.x", "one")
    ]
    for model in made:
        for number in range(1, rng.choice([1, 2, 4])):
            _make_version(model, number, rng, admin)
    return made


def _make_model(
    schema: Schema, name: str, rng: random.Random, owner: User
) -> RegisteredModel:
    full_name = f"{schema.full_name}.{name}"
    tags = {
        "stage": rng.choice(["gold", "lead"]),
        "team": rng.choice(["Red", "red"]),
        "note": rng.choice(["it*[s] 100%", "its 100"]),
        PROMPT: rng.choice(["true", "false"]),
    }
    picked = [RegisteredModelTag(k, v) for k, v in tags.items() if rng.random() < 0.4]
    store().create_registered_model(full_name, picked, "what it is for")
    model = RegisteredModel.objects.create(
        schema=schema, name=name, full_name=full_name, owner=owner
    )
    _set_time(full_name, rng)
    return model


def _make_version(
    model: RegisteredModel, number: int, rng: random.Random, owner: User
) -> None:
    tags = {"stage": rng.choice(["gold", "lead"]), PROMPT: "true"}
    insert_version(
        model.full_name,
        rng.choice(["runs:/odd", "runs:/even"]),
        user_id=owner.username,
        run_id=rng.choice(["r1", "r2", "r3", None]),
        status="PENDING_REGISTRATION",
        tags={k: v for k, v in tags.items() if rng.random() < 0.3},
    )
    change_version(
        model.full_name,
        number,
        creation_time=rng.randrange(3),
        last_updated_time=rng.randrange(3),
    )
    ModelVersion.objects.create(model=model, number=number, created_by=owner)
    if rng.random() < 0.5:
        alias = rng.choice(["Champion", "Challenger"])
        store().set_registered_model_alias(model.full_name, alias, str(number))


def _set_time(full_name: str, rng: random.Random) -> None:
    with store().ManagedSessionMaker(read_only=False) as session:
        row = store()._get_registered_model(session, full_name)
        row.last_updated_time = rng.randrange(3)


def _all_pages(search: Callable[..., Any], size: int, **asked: Any) -> list[Any]:
    rows, token = [], ""
    while True:
        page = search(max_results=size, page_token=token, **asked)
        assert len(page.rows) == size or not page.next_page_token
        rows += page.rows
        token = page.next_page_token
        if not token:
            return rows


def test_models_are_those_of_mlflows_store(
    models: list[RegisteredModel], admin: User
) -> None:
    for text, order_by in itertools.product(MODEL_FILTERS, MODEL_ORDERS):
        theirs = store().search_registered_models(text, 1000, order_by)
        asked = {"filter_string": text, "order_by": order_by}
        for size in (4, 1000):
            ours = _all_pages(partial(listing.search_models, admin), size, **asked)
            assert [row.name for row in ours] == [m.name for m in theirs], asked


def test_versions_are_those_of_mlflows_store(
    models: list[RegisteredModel], admin: User
) -> None:
    for text, order_by in itertools.product(VERSION_FILTERS, VERSION_ORDERS):
        theirs = store().search_model_versions(text, 1000, order_by)
        asked = {"filter_string": text, "order_by": order_by}
        for size in (4, 1000):
            ours = _all_pages(partial(listing.search_versions, admin), size, **asked)
            assert [(row.name, row.number) for row in ours] == [
                (version.name, int(version.version)) for version in theirs
            ], asked


def test_every_row_says_what_mlflows_store_says(
    models: list[RegisteredModel], admin: User
) -> None:
    ours = {row.name: row for row in listing.search_models(admin).rows}
    for theirs in store().search_registered_models("", 1000):
        row = ours[theirs.name]
        assert (row.description, row.owner) == (theirs.description, "admin")
        assert {tag["key"]: tag["value"] for tag in row.tags} == theirs._tags
        aliases = {alias["alias"]: alias["version"] for alias in row.aliases}
        assert aliases == theirs.aliases
        assert [v.number for v in row.latest_versions] == sorted(
            int(version.version) for version in theirs.latest_versions
        )
    for version in listing.search_versions(admin).rows:
        aliases = ours[version.name].aliases if version.name in ours else []
        assert (
            version.aliases
            == sorted(
                alias["alias"]
                for alias in aliases
                if alias["version"] == version.number
            )
            or version.name not in ours
        )


def test_lists_show_what_the_rule_shows(
    models: list[RegisteredModel], admin: User, rng: random.Random
) -> None:
    """Random owners, groups and grants, some expired, against the rule per object."""
    for _ in range(6):
        asker = _random_principal(models, rng, admin)
        seen = {
            model.full_name
            for model in models
            if shows_metadata(asker, RegisteredModel, facts_of(asker, model))
        }
        everything = {"filter_string": "", "order_by": []}
        prompts = {"filter_string": f"tags.`{PROMPT}` = 'true'", "order_by": []}
        search = partial(listing.search_models, asker)
        for asked in (everything, prompts, {**everything, "order_by": ["name DESC"]}):
            allowed = [
                model.name
                for model in store().search_registered_models(
                    asked["filter_string"], 1000, asked["order_by"]
                )
                if model.name in seen
            ]
            found = _all_pages(search, rng.choice([2, 5, 1000]), **asked)
            assert [row.name for row in found] == allowed
        detailed = {
            model.full_name
            for model in models
            if shows_details(asker, RegisteredModel, facts_of(asker, model))
        }
        shown = {row.name for row in found if row.latest_versions}
        assert shown <= detailed
        _check_versions(asker, detailed)


def _check_versions(asker: User, seen: set[str]) -> None:
    for text in ("", "name IN ('a.x.one', 'b.y.two', 'a-b.x.two')", "name LIKE 'a.%'"):
        allowed = [
            (version.name, int(version.version))
            for version in store().search_model_versions(text, 1000)
            if version.name in seen
        ]
        search = partial(listing.search_versions, asker)
        found = _all_pages(search, 3, filter_string=text)
        assert [(row.name, row.number) for row in found] == allowed


def _random_principal(
    models: list[RegisteredModel], rng: random.Random, admin: User
) -> User:
    asker, inner, outer = UserFactory(), GroupFactory(), GroupFactory()
    access.add_member(inner, asker, principal=admin)
    access.add_member(outer, inner, principal=admin)
    securables: list[Securable] = [
        *Catalog.objects.all(),
        *Schema.objects.select_related("catalog"),
        *models,
    ]
    for securable in rng.sample(securables, 12):
        holder = rng.choice([asker, inner, outer])
        if rng.random() < 0.15:
            type(securable).objects.filter(pk=securable.pk).update(owner=holder)
            continue
        useful = [*SHOWN, *([Privilege.USE_CATALOG, Privilege.USE_SCHEMA] * 3)]
        kind = str(securable._meta.model_name)
        privilege = rng.choice([p for p in useful if p in GRANTABLE[kind]])
        access.grant(securable, privilege, holder, principal=admin)
        if rng.random() < 0.15:
            grants = securable.grants.filter(user=holder)  # type: ignore[attr-defined]  # every kind has them
            grants.update(expires_at=timezone.now())
    return asker


SHOWN = (
    Privilege.EXECUTE,
    Privilege.APPROVE,
    Privilege.MANAGE,
    Privilege.BROWSE,
    Privilege.APPLY_TAG,
    Privilege.ALL_PRIVILEGES,
)


def test_a_token_continues_its_own_search_only(
    models: list[RegisteredModel], admin: User
) -> None:
    page = listing.search_models(admin, max_results=1)
    token = page.next_page_token
    assert listing.search_models(admin, page_token=token, max_results=2).rows
    others: list[dict[str, Any]] = [
        {"filter_string": "name LIKE 'a%'"},
        {"order_by": ["name DESC"]},
        {"page_token": token + "x"},
        {"page_token": "eyJvZmZzZXQiOiAxfQ=="},
    ]
    for other in others:
        with pytest.raises(InvalidParameter, match="page_token"):
            listing.search_models(admin, **{"page_token": token, **other})
    with pytest.raises(InvalidParameter, match="page_token"):
        listing.search_versions(admin, page_token=token)


def test_list_models_of_a_schema(models: list[RegisteredModel], admin: User) -> None:
    names = [row.name for row in listing.list_models(admin, within="a.x")]
    everything = [row.name for row in listing.search_models(admin).rows]
    assert names == [name for name in everything if name.startswith("a.x.")]
    rest = listing.list_models(admin, within="a.x", after=names[0], limit=1)
    assert [row.name for row in rest] == names[1:2]


@pytest.mark.parametrize(
    "text", [".ONE", "GOLD", "it*[s] 100%", "%", "_", "a\\b", "x.t"]
)
def test_list_models_that_contain_a_text(
    models: list[RegisteredModel], admin: User, text: str
) -> None:
    everything = listing.list_models(admin)
    texts = {
        row.name: [row.name, *(part for tag in row.tags for part in tag.values())]
        for row in everything
    }
    expected = [
        name
        for name, parts in texts.items()
        if any(text.lower() in part.lower() for part in parts)
    ]
    found = listing.list_models(admin, text=text)
    assert [row.name for row in found] == expected
    assert all(row.created_at.tzinfo for row in found)


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "name IS NULL",
        "name < 'a'",
        "name = 'a' OR name = 'b'",
        "name IN ()",
        "name LIKE ('a', 'b')",
        "name LIKE 'a\\'",
        f"name LIKE '{'%' * 5001}'",
        "owner = 'x'",
        "tags.stage IN ('a')",
        "tags.stage > 'a'",
        "params.x = '1'",
        "name = 'a\0b'",
        "'",
        "(" * 200,
    ],
)
def test_a_wrong_filter_is_refused(text: str, admin: User) -> None:
    for search in (listing.search_models, listing.search_versions):
        with pytest.raises(InvalidParameter):
            search(admin, filter_string=text)


@pytest.mark.parametrize(
    "text",
    ["version_number = 'x'", "version_number > 1.5", "version_number LIKE '1'"],
)
def test_a_wrong_comparison_of_numbers_is_refused(text: str, admin: User) -> None:
    with pytest.raises(InvalidParameter, match="version_number"):
        listing.search_versions(admin, filter_string=text)


def test_numbers_beyond_the_column_match_nothing(admin: User) -> None:
    huge = "9" * 40
    for text in (f"version_number > {huge}", f"version_number = {huge}"):
        assert listing.search_versions(admin, filter_string=text).rows == []


@pytest.mark.parametrize("order_by", ["owner", "name SIDEWAYS", "name ASC x", "'"])
def test_a_wrong_order_is_refused(order_by: str, admin: User) -> None:
    for search in (listing.search_models, listing.search_versions):
        with pytest.raises(InvalidParameter):
            search(admin, order_by=[order_by])
        with pytest.raises(InvalidParameter, match="duplicate"):
            search(admin, order_by=["name", "name DESC"])


@pytest.mark.parametrize("size", [0, 1001])
def test_a_wrong_size_is_refused(size: int, admin: User) -> None:
    with pytest.raises(InvalidParameter, match="max_results"):
        listing.search_models(admin, max_results=size)


@given(text=st.text(st.sampled_from("name tagsLIKE=!<>()'\"`.%_\\,1 AND"), max_size=40))
def test_no_filter_breaks_the_parser(text: str) -> None:
    for kind in (MODELS, VERSIONS):
        with contextlib.suppress(InvalidParameter):
            read_filter(kind, text)
