"""Deleting models and versions: who may, what stands in the way, what is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from core.errors import Conflict, NotFound, PermissionDenied
from events.models import Event
from registry import reads
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel
from registry.store import store
from serving import services as serving

Make = Callable[..., ModelVersion]


def test_deleted_version_is_a_tombstone(version: ModelVersion, owner: User) -> None:
    registry.delete_version(version, principal=owner)
    version.refresh_from_db()
    assert version.status == "deleted"
    assert version.deleted_at
    with pytest.raises(NotFound):
        reads.loadable_version(version.model.full_name, 1, principal=owner)
    event = Event.objects.latest("sequence")
    assert (event.type, event.data["version"]) == ("model_version.deleted", 1)


def test_number_of_a_deleted_version_is_not_used_again(
    version: ModelVersion, owner: User, make_version: Make
) -> None:
    registry.delete_version(version, principal=owner)
    assert make_version(version.model, content="2").number == 2


def test_version_is_deleted_once(version: ModelVersion, owner: User) -> None:
    registry.delete_version(version, principal=owner)
    with pytest.raises(NotFound, match="was deleted"):
        registry.delete_version(version, principal=owner)


def test_version_is_kept_while_an_alias_points_at_it(
    version: ModelVersion, owner: User
) -> None:
    approvals.set_alias(version.model, "Challenger", version, principal=owner)
    with pytest.raises(Conflict, match="alias Challenger points at it"):
        registry.delete_version(version, principal=owner)
    with pytest.raises(Conflict, match="alias Challenger is set"):
        registry.delete_model(version.model, principal=owner)
    approvals.delete_alias(version.model, "challenger", principal=owner)
    registry.delete_version(version, principal=owner)


def test_version_is_kept_while_an_endpoint_serves_it(
    version: ModelVersion, owner: User, use: Callable[..., None]
) -> None:
    use(owner, Privilege.CREATE_ENDPOINT)
    approvals.set_alias(version.model, "Challenger", version, principal=owner)
    serving.create_endpoint(
        "prod.fraud.live", version.model, "Challenger", principal=owner
    )
    approvals.delete_alias(version.model, "Challenger", principal=owner)
    with pytest.raises(Conflict, match=r"the endpoint .* serves it"):
        registry.delete_version(version, principal=owner)
    with pytest.raises(Conflict, match=r"the endpoint .* follows @Challenger"):
        registry.delete_model(version.model, principal=owner)


def test_deleted_version_takes_no_alias_and_no_traffic(
    version: ModelVersion, owner: User
) -> None:
    stale = registry.get_version(version.model, 1)
    registry.delete_version(version, principal=owner)
    with pytest.raises(Conflict, match="is deleted, not ready"):
        approvals.set_alias(version.model, "Challenger", stale, principal=owner)
    with pytest.raises(Conflict, match="was deleted"):
        registry.hold_version(stale)


@pytest.mark.parametrize("delete", ["version", "model"])
def test_grantee_and_stranger_do_not_delete(
    version: ModelVersion,
    grantee: User,
    stranger: User,
    use: Callable[..., None],
    delete: str,
) -> None:
    use(grantee, Privilege.ALL_PRIVILEGES)
    for principal, refusal in ((grantee, PermissionDenied), (stranger, NotFound)):
        with pytest.raises(refusal):
            _delete(version, delete, principal)
    assert RegisteredModel.objects.filter(pk=version.model_id).exists()
    version.refresh_from_db()
    assert version.status == "ready"


@pytest.mark.parametrize("delete", ["version", "model"])
def test_manager_and_admin_delete(
    version: ModelVersion,
    grantee: User,
    owner: User,
    use: Callable[..., None],
    delete: str,
) -> None:
    use(grantee)
    access.grant(version.model, Privilege.MANAGE, grantee, principal=owner)
    _delete(version, delete, grantee)
    version.refresh_from_db()
    assert version.status == "deleted"


def _delete(version: ModelVersion, what: str, principal: User) -> None:
    if what == "version":
        registry.delete_version(version, principal=principal)
    else:
        registry.delete_model(version.model, principal=principal)


def test_deleted_model_frees_its_name_but_not_its_numbers(
    model: RegisteredModel, owner: User, make_version: Make
) -> None:
    for content in "12":
        make_version(model, content=content)
    registry.delete_model(model, principal=owner)
    with pytest.raises(NotFound):
        registry.get_model("prod.fraud.scorer")
    again = registry.create_model(
        "prod.fraud.scorer", description="new", principal=owner
    )
    version = make_version(again)
    assert version.number == 3
    found = store().get_model_version("prod.fraud.scorer", "3")
    assert (found.status, found.user_id) == ("READY", "owner")
    assert make_version(again, content="3").number == 4


def test_numbers_go_on_after_several_deletions(
    model: RegisteredModel, owner: User, make_version: Make
) -> None:
    make_version(model)
    registry.delete_model(model, principal=owner)
    registry.delete_model(
        registry.create_model("prod.fraud.scorer", principal=owner), principal=owner
    )
    third = registry.create_model("prod.fraud.scorer", principal=owner)
    assert make_version(third).number == 2


def test_deleted_model_keeps_its_grants_and_history(
    version: ModelVersion, owner: User, grantee: User
) -> None:
    model = version.model
    access.grant(model, Privilege.EXECUTE, grantee, principal=owner)
    registry.delete_model(model, principal=owner)
    left = RegisteredModel.recorded.get(pk=model.pk)
    assert left.deleted_at
    assert left.versions.get().status == "deleted"
    assert not RegisteredModel.objects.visible(owner).filter(pk=model.pk).exists()
    event = Event.objects.latest("sequence")
    assert (event.type, event.subject_name) == (
        "registered_model.deleted",
        "prod.fraud.scorer",
    )
    assert event.data["versions"] == [1]


def test_tombstone_is_found_by_no_name(version: ModelVersion, owner: User) -> None:
    registry.delete_model(version.model, principal=owner)
    left = RegisteredModel.recorded.get(pk=version.model_id)
    with pytest.raises(NotFound):
        reads.loadable_version(left.full_name, 1, principal=owner)
