"""Models, versions and aliases, for owner, grantee and stranger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.db import transaction
from django.utils import timezone

from access.models import User
from access.privileges import Privilege
from core.errors import (
    AlreadyExists,
    Conflict,
    InvalidParameter,
    NotFound,
    PermissionDenied,
)
from events.models import Event
from registry import artifacts
from registry import services as registry
from registry.models import Alias, ModelVersion, RegisteredModel, Schema
from registry.store import store
from registry.tasks import finish_pending


def test_creator_owns_the_model_in_both_tables(
    model: RegisteredModel, owner: User
) -> None:
    assert model.owner == owner
    assert store().get_registered_model("prod.fraud.scorer").name == model.full_name


def test_model_name_needs_three_levels(owner: User) -> None:
    with pytest.raises(InvalidParameter, match="specify all three levels"):
        registry.create_model("fraud.scorer", principal=owner)


def test_creating_an_existing_visible_model_says_so(
    model: RegisteredModel, owner: User
) -> None:
    with pytest.raises(AlreadyExists):
        registry.create_model(model.full_name, principal=owner)


def test_stranger_learns_nothing_of_the_schema(schema: Schema, stranger: User) -> None:
    with pytest.raises(NotFound):
        registry.create_model("prod.fraud.mine", principal=stranger)


def test_grantee_of_the_schema_may_create_but_not_register(
    model: RegisteredModel,
    grantee: User,
    use: Callable[..., None],
    make_version: Callable[..., ModelVersion],
) -> None:
    use(grantee, Privilege.CREATE_MODEL, Privilege.EXECUTE)
    registry.create_model("prod.fraud.other", principal=grantee)
    with pytest.raises(PermissionDenied, match="ownership on prod"):
        make_version(model, principal=grantee)


def test_duplicate_leaves_the_outer_transaction_usable(
    model: RegisteredModel, owner: User
) -> None:
    with transaction.atomic():
        with pytest.raises(AlreadyExists):
            registry.create_model(model.full_name, principal=owner)
        registry.create_model("prod.fraud.second", principal=owner)
    assert store().get_registered_model("prod.fraud.second")


@pytest.mark.django_db(transaction=True)
def test_mlflow_row_and_governance_row_roll_back_together(
    schema: Schema, owner: User, use: Callable[..., None]
) -> None:
    use(owner, Privilege.CREATE_MODEL)
    with transaction.atomic():
        registry.create_model("prod.fraud.gone", principal=owner)
        transaction.set_rollback(True)
    assert not RegisteredModel.objects.filter(full_name="prod.fraud.gone").exists()
    assert store().search_registered_models("name = 'prod.fraud.gone'") == []
    assert not Event.objects.filter(subject_name="prod.fraud.gone").exists()


def test_version_is_ready_with_the_digest_of_its_bytes(version: ModelVersion) -> None:
    assert version.status == "ready"
    assert [entry["path"] for entry in version.manifest] == ["MLmodel", "weights.json"]
    assert artifacts.verify(version) == []
    assert version.signature is not None
    assert store().get_model_version("prod.fraud.scorer", "1").status == "READY"


def test_numbers_increase(
    model: RegisteredModel, make_version: Callable[..., ModelVersion]
) -> None:
    assert [make_version(model).number for _ in range(3)] == [1, 2, 3]


def test_stored_bytes_cannot_be_changed_unnoticed(version: ModelVersion) -> None:
    path = artifacts.local_directory(version) / "weights.json"
    path.chmod(0o644)
    path.write_text("2")
    assert artifacts.verify(version) == ["weights.json was changed"]


def test_source_without_mlmodel_fails_with_what_to_do(
    model: RegisteredModel, owner: User, tmp_path
) -> None:
    (tmp_path / "empty").mkdir()
    version = registry.create_version_from_directory(
        model, tmp_path / "empty", principal=owner
    )
    assert version.status == "failed"
    assert "no MLmodel file" in version.status_message


@pytest.mark.parametrize(
    "source",
    [
        "http://evil.example/model",
        "mlflow-artifacts://evil.example/x",
        "s3://bucket/model",
        "/etc",
        "file:///etc",
        "runs:/../../etc",
        "models:/prod.fraud.scorer/latest",
    ],
)
def test_foreign_sources_are_refused(
    model: RegisteredModel, owner: User, source: str
) -> None:
    with pytest.raises(InvalidParameter):
        registry.create_version(model, source, principal=owner)
    assert not model.versions.exists()


def test_copy_of_a_version_has_the_same_digest(
    version: ModelVersion, owner: User
) -> None:
    other = registry.create_model("prod.fraud.copy", principal=owner)
    copy = registry.create_version(
        other, "models:/prod.fraud.scorer/1", principal=owner
    )
    assert copy.digest == version.digest
    assert copy.lineage["copied_from"] == "prod.fraud.scorer/1"


def test_copy_needs_execute_on_the_source(
    version: ModelVersion, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.CREATE_MODEL)
    mine = registry.create_model("prod.fraud.mine", principal=grantee)
    with pytest.raises(PermissionDenied, match="EXECUTE"):
        registry.create_version(mine, "models:/prod.fraud.scorer/1", principal=grantee)


def test_alias_moves_and_counts_its_generations(
    model: RegisteredModel, owner: User, make_version: Callable[..., ModelVersion]
) -> None:
    first, second = make_version(model), make_version(model)
    registry.set_alias(model, "Challenger", first, principal=owner)
    alias = registry.set_alias(model, "challenger", second, principal=owner)
    assert (alias.name, alias.generation) == ("Challenger", 2)
    assert alias.previous_version == first
    assert (
        store().get_model_version_by_alias(model.full_name, "Challenger").version == 2
    )


def test_grantee_may_not_set_an_alias(
    version: ModelVersion, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE, Privilege.MANAGE)
    with pytest.raises(PermissionDenied, match="ownership"):
        registry.set_alias(version.model, "a", version, principal=grantee)


def test_stranger_may_not_know_the_model(version: ModelVersion, stranger: User) -> None:
    with pytest.raises(NotFound):
        registry.set_alias(version.model, "a", version, principal=stranger)
    assert not Alias.objects.exists()


def test_tampered_version_takes_no_alias(version: ModelVersion, owner: User) -> None:
    registry.report_tampering(version, ["weights.json was changed"])
    with pytest.raises(Conflict, match="changed on disk"):
        registry.set_alias(version.model, "a", version, principal=owner)


def test_deleted_alias_keeps_counting(version: ModelVersion, owner: User) -> None:
    registry.set_alias(version.model, "a", version, principal=owner)
    registry.delete_alias(version.model, "a", principal=owner)
    alias = registry.set_alias(version.model, "a", version, principal=owner)
    assert alias.generation == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", [1, 2])
def test_committed_rows_leave_with_the_test(
    model: RegisteredModel, attempt: int
) -> None:
    assert store().get_registered_model(model.full_name).name == model.full_name


@pytest.mark.parametrize("name", ["not valid!", "latest", "v7", "", "ä", "a" * 256])
def test_alias_names_are_checked(version: ModelVersion, owner: User, name: str) -> None:
    with pytest.raises(InvalidParameter, match="alias"):
        registry.set_alias(version.model, name, version, principal=owner)


@pytest.fixture
def cut_off(model: RegisteredModel, version: ModelVersion, owner: User) -> ModelVersion:
    """A registration whose process died before it took the bytes."""
    copied = registry.create_version(
        model, "models:/prod.fraud.scorer/1", request_digest="d", principal=owner
    )
    directory = artifacts.local_directory(copied)
    directory.parent.chmod(0o755)
    directory.chmod(0o755)
    directory.rename(directory.with_name("gone"))
    ModelVersion.objects.filter(pk=copied.pk).update(
        status="pending", lease_until=timezone.now() - dt.timedelta(seconds=1)
    )
    return copied


def test_replayed_registration_is_the_one_that_is_pending(
    cut_off: ModelVersion, owner: User
) -> None:
    again = registry.create_version(
        cut_off.model,
        "models:/prod.fraud.scorer/1",
        request_digest="d",
        principal=owner,
    )
    assert again == cut_off


def test_sweep_finishes_what_was_cut_off(cut_off: ModelVersion) -> None:
    finish_pending()
    cut_off.refresh_from_db()
    assert cut_off.status == "ready"
    assert artifacts.verify(cut_off) == []


def test_taker_that_comes_second_leaves_the_first_ones_word(
    version: ModelVersion,
) -> None:
    late = ModelVersion.objects.get(pk=version.pk)
    late.source_directory = str(artifacts.local_directory(version))
    assert registry.take_bytes(late).digest == version.digest
