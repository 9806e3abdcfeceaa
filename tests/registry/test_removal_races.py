"""Deleting, while others do what forbids it: one of them wins, whoever is first."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from core.errors import DomainError
from registry import services as registry
from registry.models import (
    Alias,
    ModelVersion,
    RegisteredModel,
    Schema,
    SchemaGrant,
)

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*calls: Callable[[], object]) -> list[str]:
    """Run calls at the same moment; return what each came to."""
    barrier, results = threading.Barrier(len(calls)), [""] * len(calls)

    def run(index: int) -> None:
        barrier.wait(timeout=20)
        try:
            calls[index]()
            results[index] = "done"
        except DomainError as error:
            results[index] = error.error_code
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results


@pytest.mark.parametrize("delete", [registry.delete_version, registry.delete_model])
def test_alias_never_points_at_what_was_deleted(
    version: ModelVersion, owner: User, delete: Callable[..., None]
) -> None:
    victim = version if delete is registry.delete_version else version.model
    results = at_once(
        lambda: delete(victim, principal=owner),
        lambda: approvals.set_alias(version.model, "a", version, principal=owner),
    )
    assert results.count("done") == 1
    version.refresh_from_db()
    is_aliased = Alias.objects.filter(version=version).exists()
    assert is_aliased == (version.status == "ready")


@pytest.mark.parametrize("attempt", range(4))
def test_nothing_is_made_in_a_schema_that_was_deleted(
    schema: Schema, owner: User, use: Callable[..., None], attempt: int
) -> None:
    use(owner, Privilege.CREATE_MODEL)
    made, deleted = at_once(
        lambda: registry.create_model("prod.fraud.new", principal=owner),
        lambda: registry.delete_schema(schema, principal=schema.owner),
    )
    assert (made, deleted) in {
        ("done", "RESOURCE_CONFLICT"),
        ("RESOURCE_DOES_NOT_EXIST", "done"),
    }
    assert Schema.objects.exists() == RegisteredModel.objects.exists()


@pytest.mark.parametrize("attempt", range(3))
def test_nothing_is_granted_on_a_schema_that_was_deleted(
    schema: Schema, owner: User, attempt: int
) -> None:
    admin = schema.owner
    granted, deleted = at_once(
        lambda: access.grant(schema, Privilege.EXECUTE, owner, principal=admin),
        lambda: registry.delete_schema(schema, principal=admin),
    )
    assert deleted == "done"
    assert granted in {"done", "RESOURCE_DOES_NOT_EXIST"}
    assert not SchemaGrant.objects.exists()


def test_deleted_once_by_many(version: ModelVersion, owner: User) -> None:
    results = at_once(
        *(lambda: registry.delete_version(version, principal=owner) for _ in range(4))
    )
    assert sorted(results) == ["RESOURCE_DOES_NOT_EXIST"] * 3 + ["done"]


def test_replays_at_the_same_moment_make_one_version(
    version: ModelVersion, owner: User
) -> None:
    copies = registry.create_model("prod.fraud.copies", principal=owner)

    def register() -> None:
        registry.create_version(
            copies,
            f"models:/{version.full_name}",
            request_digest="d",
            principal=owner,
        )

    assert at_once(*[register] * 4) == ["done"] * 4
    assert copies.versions.count() == 1


def test_name_that_is_being_left_gives_no_number_twice(
    version: ModelVersion, owner: User, make_version: Callable[..., ModelVersion]
) -> None:
    name = version.model.full_name
    results = at_once(
        lambda: registry.delete_model(version.model, principal=owner),
        lambda: registry.create_model(name, principal=owner),
    )
    assert results[0] == "done"
    found = RegisteredModel.objects.filter(full_name=name).first()
    again = found or registry.create_model(name, principal=owner)
    assert make_version(again).number == 2
