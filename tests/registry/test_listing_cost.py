"""A first page costs the same in a small registry and in a large one.

Measured without a clock: rows that PostgreSQL reads, steps of SQLite's machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry import listing
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel, Schema
from tests.factories import GroupFactory, UserFactory

_SMALL, _LARGE = 300, 3000
Principals = dict[str, User]


@pytest.fixture(autouse=True)
def _as_if_large(db: None) -> None:
    """Let PostgreSQL plan as for tables that it cannot read whole in a millisecond."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for plan in ("seqscan", "hashjoin", "mergejoin", "bitmapscan"):
                cursor.execute(f"SET LOCAL enable_{plan} = off")


@pytest.fixture
def schemas(admin: User) -> list[Schema]:
    for catalog in ("dev", "prod"):
        registry.create_catalog(catalog, principal=admin)
    names = [f"{c}.s{number}" for c in ("dev", "prod") for number in range(5)]
    return [registry.create_schema(name, principal=admin) for name in names]


@pytest.fixture
def principals(schemas: list[Schema], admin: User) -> Principals:
    """Who sees everything, a catalog, a schema, a schema by group, a few models."""
    _grow(schemas, 0, _SMALL, admin)
    made = {name: UserFactory() for name in ("catalog", "schema", "few")}
    member, group = UserFactory(), GroupFactory()
    access.add_member(group, member, principal=admin)
    prod = schemas[-1].catalog
    few = list(RegisteredModel.objects.filter(schema=schemas[-1])[:10])
    for holder in (*made.values(), group):
        access.grant(prod, Privilege.USE_CATALOG, holder, principal=admin)
        access.grant(prod, Privilege.USE_SCHEMA, holder, principal=admin)
    access.grant(prod, Privilege.EXECUTE, made["catalog"], principal=admin)
    for holder in (made["schema"], group):
        access.grant(schemas[-1], Privilege.EXECUTE, holder, principal=admin)
    for model in few:
        access.grant(model, Privilege.EXECUTE, made["few"], principal=admin)
    return {**made, "group": member, "admin": admin}


def _grow(schemas: list[Schema], start: int, end: int, owner: User) -> None:
    """Make models with a version each, as the services would leave them."""
    models = [
        RegisteredModel(
            schema=schemas[number % len(schemas)],
            name=f"m{number:05}",
            full_name=f"{schemas[number % len(schemas)].full_name}.m{number:05}",
            owner=owner,
        )
        for number in range(start, end)
    ]
    RegisteredModel.objects.bulk_create(models, batch_size=1000)
    versions = [ModelVersion(model=m, number=1, created_by=owner) for m in models]
    ModelVersion.objects.bulk_create(versions, batch_size=1000)
    rows = [(model.full_name, number) for number, model in enumerate(models, start)]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO registered_models (name, creation_time, last_updated_time)"
            " VALUES (%s, 0, %s)",
            rows,
        )
        cursor.executemany(
            "INSERT INTO model_versions (name, version, creation_time,"
            " last_updated_time, current_stage) VALUES (%s, 1, 0, %s, 'None')",
            rows,
        )
        if connection.vendor == "postgresql":  # as its autovacuum does
            cursor.execute("ANALYZE")


def _first_pages(principal: User) -> Iterator[list[Any]]:
    clause = "tag.`mlflow.prompt.is_prompt` != 'true'"
    yield listing.search_models(principal, filter_string=clause, max_results=10).rows
    yield listing.search_models(principal, order_by=["name DESC"], max_results=10).rows
    yield listing.list_models(principal, limit=10)
    yield listing.search_versions(principal, max_results=10).rows


def _cost(principal: User) -> int:
    if connection.vendor == "sqlite":
        return _steps(lambda: list(_first_pages(principal)))
    with CaptureQueriesContext(connection) as captured:
        list(_first_pages(principal))
    return sum(_rows_touched(query["sql"]) for query in captured.captured_queries)


def _steps(work: Callable[[], object]) -> int:
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    connection.connection.set_progress_handler(count, 10)
    try:
        work()
    finally:
        connection.connection.set_progress_handler(None, 0)
    return counted


def _rows_touched(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        plan = cursor.fetchone()[0]
    return _rows_of((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])


def _rows_of(node: dict[str, Any]) -> int:
    read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return int(node["Actual Loops"] * read) + sum(map(_rows_of, node.get("Plans", [])))


def test_first_pages_cost_the_same_in_a_larger_registry(
    principals: Principals, schemas: list[Schema], admin: User
) -> None:
    before = {name: _cost(principal) for name, principal in principals.items()}
    _grow(schemas, _SMALL, _LARGE, admin)
    after = {name: _cost(principal) for name, principal in principals.items()}
    # an index of ten times the rows may be one level deeper
    assert all(after[name] <= 1.5 * before[name] for name in principals), (
        before,
        after,
    )


def test_first_pages_walk_the_indexes(
    principals: Principals, schemas: list[Schema], admin: User
) -> None:
    _grow(schemas, _SMALL, _LARGE, admin)
    for principal in principals.values():
        with CaptureQueriesContext(connection) as captured:
            pages = list(_first_pages(principal))
        assert all(len(page) == 10 for page in pages)
        plans = "\n".join(_plan(query["sql"]) for query in captured.captured_queries)
        assert not any(scan in plans for scan in _SCANS), plans


_SCANS = (
    "SCAN r\n",
    "SCAN m\n",
    "SCAN v\n",
    "Seq Scan on registry_registeredmodel ",
    "Seq Scan on registered_models ",
    "Seq Scan on model_versions ",
    "Seq Scan on registry_modelversion ",
)


def _plan(sql: str) -> str:
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {sql}")
        return "".join(f"{row[-1]}\n" for row in cursor.fetchall())


def test_a_search_costs_three_queries(
    principals: Principals,
    client: Client,
    django_assert_num_queries: Any,
) -> None:
    """The token, the scopes, the page; who sees everything has no scopes."""
    for name, principal in principals.items():
        token = access.issue_token(principal, "test", principal=principal)
        principal.access_tokens.update(last_used_at=timezone.now())
        for kind, rows in (
            ("registered-models", "registered_models"),
            ("model-versions", "model_versions"),
        ):
            with django_assert_num_queries(2 if name == "admin" else 3):
                answer = client.get(
                    f"/api/2.0/mlflow/{kind}/search?max_results=10",
                    headers={"Authorization": f"Bearer {token}"},
                )
            assert len(answer.json()[rows]) == 10
