"""Statements of the ORM that are made once: they find what the ORM finds."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.transaction import TransactionManagementError
from pytest_django import DjangoAssertNumQueries

from core.prepared import Prepared
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel

VERSIONS = Prepared[ModelVersion](
    lambda model_id, number: ModelVersion.objects.filter(
        model_id=model_id, number=number
    ).select_related("model__owner", "on_behalf_of"),
    UUID,
    int,
)
LOCKED = Prepared[ModelVersion](
    lambda pk: ModelVersion.objects.select_for_update().filter(pk=pk), UUID
)


def test_rows_are_those_of_the_orm(
    version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(2):  # made, and made use of
        with django_assert_num_queries(1):
            found = VERSIONS.first(version.model_id, 1)
            assert found is not None
            assert found.model.owner.username == "owner"
            assert found.on_behalf_of is None
        same = ModelVersion.objects.get(pk=version.pk)
        for field in ModelVersion._meta.concrete_fields:
            assert getattr(found, field.attname) == getattr(same, field.attname)


def test_values_of_one_call_are_not_those_of_the_next(version: ModelVersion) -> None:
    assert VERSIONS.all(version.model_id, 1) == [version]
    assert VERSIONS.all(version.model_id, 2) == []
    assert VERSIONS.all(version.model_id, 2**70) == []
    assert VERSIONS.first(uuid4(), 1) is None


def test_row_that_is_read_so_can_be_saved(version: ModelVersion) -> None:
    found = VERSIONS.first(version.model_id, 1)
    assert found is not None
    found.status_message = "changed"
    found.save()
    version.refresh_from_db()
    assert version.status_message == "changed"


@pytest.mark.django_db(transaction=True)
def test_lock_outside_a_transaction_is_refused() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite locks no rows")
    with pytest.raises(TransactionManagementError):
        LOCKED.first(uuid4())


@pytest.mark.parametrize("name", ["o'brien", "%s", "100%", "a\\b", "é", "a_b"])
def test_names_reach_the_database_as_they_are(
    model: RegisteredModel, name: str
) -> None:
    full_name = f"prod.fraud.{name}"
    RegisteredModel.objects.filter(pk=model.pk).update(full_name=full_name)
    assert registry.get_model(full_name) == model
