from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from core.errors import AlreadyExists, InvalidParameter, NotFound, PermissionDenied
from registry import services as registry
from registry.models import RegisteredModel
from runners import services as runners
from runners.models import Package, Pipeline, Snapshot

pytestmark = pytest.mark.django_db


def create(package: Package, target: str, principal: User, **options: str) -> Pipeline:
    name = options.pop("name", "prod.fraud.other")
    return runners.create_pipeline(
        name, package, target, principal=principal, **options
    )


def test_pipeline_runs_as_its_creator(pipeline: Pipeline, trainer: User) -> None:
    assert pipeline.owner == pipeline.run_as == trainer
    assert pipeline.dataset.full_name == "prod.fraud.cells"


def test_two_level_model_name_is_refused(package: Package, trainer: User) -> None:
    with pytest.raises(InvalidParameter, match="specify all three levels"):
        create(package, "fraud.scorer", trainer)


def test_connecting_a_pipeline_to_a_model_needs_power_over_it(
    package: Package, model: RegisteredModel, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.CREATE_PIPELINE, Privilege.CREATE_MODEL)

    with pytest.raises(PermissionDenied, match="ownership"):
        create(package, model.full_name, grantee)
    create(package, "prod.fraud.own", grantee)


def test_pipeline_needs_create_pipeline(
    package: Package, grantee: User, stranger: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.CREATE_MODEL)

    with pytest.raises(PermissionDenied, match="CREATE PIPELINE"):
        create(package, "prod.fraud.own", grantee)
    with pytest.raises(NotFound):
        create(package, "prod.fraud.own", stranger)


def test_name_is_taken_once(pipeline: Pipeline, trainer: User) -> None:
    with pytest.raises(AlreadyExists):
        create(pipeline.package, "prod.fraud.own", trainer, name="prod.fraud.Training")


def test_missing_folder_is_refused_when_a_run_is_asked_for(
    package: Package, snapshot: Snapshot, trainer: User
) -> None:
    pipeline = create(
        package, "prod.fraud.own", trainer, dataset="prod.fraud.cells/nowhere"
    )

    with pytest.raises(InvalidParameter, match="no folder 'nowhere'"):
        runners.start_run(pipeline, principal=trainer)


def test_runner_sees_the_pipeline_and_a_stranger_does_not(
    pipeline: Pipeline, runner: User, stranger: User
) -> None:
    assert runners.get_pipeline(pipeline.full_name, principal=runner) == pipeline
    with pytest.raises(NotFound):
        runners.get_pipeline(pipeline.full_name, principal=stranger)


def test_preflight_lists_what_the_run_as_principal_has_and_lacks(
    pipeline: Pipeline, owner: User, admin: User, call: Callable[..., Any]
) -> None:
    path = f"pipelines/{pipeline.full_name}/preflight"
    asked = call(owner, "get", path).json()
    assert (asked["run_as"], asked["is_ready"]) == ("owner", True)
    needs = [(need["needs"], need["full_name"]) for need in asked["requirements"]]
    assert needs == [
        ("READ DATASET", "prod.fraud.cells"),
        ("USE SCHEMA", "prod.fraud"),
        ("USE CATALOG", "prod"),
        ("ownership", "prod.fraud.scorer"),
    ]
    access.revoke(pipeline.schema, Privilege.USE_SCHEMA, owner, principal=admin)
    lost = call(owner, "get", path).json()
    assert lost["is_ready"] is False
    [missing] = [need for need in lost["requirements"] if not need["met"]]
    assert (missing["needs"], missing["who_can_grant"]) == ("USE SCHEMA", ["admin"])


def test_preflight_of_a_new_model_asks_for_creating_it(
    pipeline: Pipeline,
) -> None:
    pipeline.target_model = "prod.fraud.another"
    said = [need.what for need in runners.preflight(pipeline)]
    assert said == ["READ DATASET", "USE SCHEMA", "USE CATALOG", "CREATE MODEL"]


def test_delegated_versions_let_another_than_the_owner_register(
    pipeline: Pipeline,
    grantee: User,
    owner: User,
    admin: User,
    use: Callable[..., None],
) -> None:
    """The run acts as the grantee, who is granted everything but ownership."""
    Pipeline.objects.update(run_as=grantee)
    pipeline.refresh_from_db()
    use(grantee, Privilege.READ_DATASET)
    assert not all(need.met for need in runners.preflight(pipeline))
    catalog = pipeline.schema.catalog
    registry.update_catalog(catalog, delegated_versions=True, principal=admin)
    access.grant(catalog, Privilege.CREATE_MODEL_VERSION, grantee, principal=admin)
    assert all(need.met for need in runners.preflight(pipeline))


def test_preflight_is_for_who_sees_the_pipeline(
    pipeline: Pipeline,
    runner: User,
    stranger: User,
    approver: User,
    admin: User,
    call: Callable[..., Any],
) -> None:
    access.grant(pipeline.schema.catalog, Privilege.BROWSE, approver, principal=admin)
    path = f"pipelines/{pipeline.full_name}/preflight"
    codes = {
        who.username: call(who, "get", path).status_code
        for who in (runner, admin, approver, stranger)
    }
    assert codes == {"grantee": 200, "admin": 200, "approver": 403, "stranger": 404}
