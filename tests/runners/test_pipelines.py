from __future__ import annotations

from collections.abc import Callable

import pytest

from access.models import User
from access.privileges import Privilege
from core.errors import AlreadyExists, InvalidParameter, NotFound, PermissionDenied
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
