"""Renaming a model: what stays with it, and what the old name may become."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from core.errors import (
    AlreadyExists,
    Conflict,
    InvalidParameter,
    NotFound,
    PermissionDenied,
)
from events.models import Event
from registry import listing, reads
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel, Schema
from registry.store import store

Make = Callable[..., ModelVersion]
NEW = "prod.fraud.judge"


def test_everything_stays_with_a_renamed_model(
    version: ModelVersion, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    model = version.model
    access.grant(model, Privilege.EXECUTE, grantee, principal=owner)
    approvals.set_alias(model, "Challenger", version, principal=owner)
    registry.set_model_tag(model, "team", "fraud", principal=owner)
    registry.set_version_tag(version, "note", "ok", principal=owner)

    renamed = registry.rename_model(model, NEW, principal=owner)

    assert renamed.pk == model.pk
    row = reads.version_by_alias(NEW, "Challenger", principal=grantee)
    assert (row.number, row.aliases) == (1, ["Challenger"])
    assert row.tags == [{"key": "note", "value": "ok"}]
    found = listing.model_as_listed(renamed)
    assert found.tags == [{"key": "team", "value": "fraud"}]
    assert found.aliases == [{"alias": "Challenger", "version": 1}]
    assert store().get_model_version_download_uri(NEW, "1").endswith(f"/{NEW}/1")
    event = Event.objects.latest("sequence")
    assert event.type == "registered_model.renamed"
    assert (event.data["before"], event.data["after"]) == ("prod.fraud.scorer", NEW)


def test_old_name_is_free_and_its_numbers_are_not(
    version: ModelVersion, owner: User, make_version: Make
) -> None:
    registry.rename_model(version.model, NEW, principal=owner)
    other = registry.create_model("prod.fraud.scorer", principal=owner)
    assert make_version(other).number == 2
    renamed = registry.get_model(NEW)
    assert make_version(renamed, content="2").number == 2


def test_model_takes_its_own_name_back_but_no_other_models(
    version: ModelVersion, owner: User, make_version: Make
) -> None:
    model = registry.rename_model(version.model, NEW, principal=owner)
    model = registry.rename_model(model, "prod.fraud.scorer", principal=owner)
    other = registry.create_model("prod.fraud.other", principal=owner)
    make_version(other)
    registry.delete_model(other, principal=owner)
    with pytest.raises(Conflict, match="another model's"):
        registry.rename_model(model, "prod.fraud.OTHER", principal=owner)
    assert registry.get_model("prod.fraud.scorer") == model


def test_case_alone_may_change(model: RegisteredModel, owner: User) -> None:
    renamed = registry.rename_model(model, "prod.fraud.Scorer", principal=owner)
    assert store().get_registered_model("prod.fraud.Scorer").name == renamed.full_name


def test_name_that_is_taken_is_refused(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.CREATE_MODEL)
    registry.create_model("prod.fraud.mine", principal=owner)
    registry.create_model("prod.fraud.theirs", principal=grantee)
    with pytest.raises(AlreadyExists):
        registry.rename_model(model, "prod.fraud.mine", principal=owner)
    with pytest.raises(PermissionDenied, match="You may not create"):
        registry.rename_model(model, "prod.fraud.theirs", principal=owner)
    assert store().get_registered_model("prod.fraud.scorer")


@pytest.mark.parametrize("name", ["judge", "prod.fraud.", "prod.fraud.a/b", "a.b.c.d"])
def test_new_name_is_checked(model: RegisteredModel, owner: User, name: str) -> None:
    with pytest.raises(InvalidParameter, match="new_name"):
        registry.rename_model(model, name, principal=owner)


def test_stranger_grantee_and_manager_do_not_rename(
    model: RegisteredModel,
    owner: User,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
) -> None:
    use(grantee, Privilege.CREATE_MODEL, Privilege.ALL_PRIVILEGES)
    access.grant(model, Privilege.MANAGE, grantee, principal=owner)
    for principal, refusal in ((grantee, PermissionDenied), (stranger, NotFound)):
        with pytest.raises(refusal):
            registry.rename_model(model, NEW, principal=principal)


def test_owner_needs_create_model_where_it_goes(
    model: RegisteredModel, owner: User, admin: User, schema: Schema
) -> None:
    access.revoke(schema, Privilege.CREATE_MODEL, owner, principal=admin)
    with pytest.raises(PermissionDenied, match="CREATE MODEL"):
        registry.rename_model(model, NEW, principal=owner)


def test_model_moves_to_another_schema_only_without_aliases(
    version: ModelVersion, owner: User, admin: User
) -> None:
    model = version.model
    lab = registry.create_schema("prod.lab", principal=admin)
    for privilege in (Privilege.USE_SCHEMA, Privilege.CREATE_MODEL):
        access.grant(lab, privilege, owner, principal=admin)
    approvals.set_alias(model, "Challenger", version, principal=owner)
    with pytest.raises(Conflict, match="the alias Challenger is set"):
        registry.rename_model(model, "prod.lab.scorer", principal=owner)
    approvals.delete_alias(model, "Challenger", principal=owner)
    moved = registry.rename_model(model, "prod.lab.scorer", principal=owner)
    assert moved.schema == lab


def test_replayed_rename_finds_what_it_did(
    model: RegisteredModel, owner: User, grantee: User
) -> None:
    registry.rename_model(model, NEW, principal=owner)
    replayed = registry.find_renamed("prod.fraud.scorer", NEW, principal=owner)
    assert replayed == model
    assert not registry.find_renamed("prod.fraud.scorer", NEW, principal=grantee)
    registry.create_model("prod.fraud.scorer", principal=owner)
    assert not registry.find_renamed("prod.fraud.scorer", NEW, principal=owner)
