"""`manage.py adopt this`: MLflow's own database becomes ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError

from access.models import User
from approvals import services as approvals
from events.models import Event
from registry import artifacts
from registry import services as registry
from registry.models import (
    Adoption,
    Experiment,
    ModelVersion,
    Schema,
)
from registry.store import store, tracking_store
from tests.greenlight.conftest import Adopt, lines
from tests.mlflow_sources import write_model


@pytest.fixture
def in_place(db: None, tmp_path: Path, settings: LazySettings) -> dict[str, Any]:
    """Rows that plain MLflow wrote into our database before we came."""
    run = _log_model(tmp_path)
    store().create_registered_model("churn")
    source = f"mlflow-artifacts:/{run.experiment_id}/{run.run_id}/artifacts/model"
    for _ in range(2):
        store().create_model_version("churn", source, run.run_id)
    store().create_model_version("churn", "s3+lost://x", run.run_id)
    store().delete_model_version("churn", "1")
    store().set_registered_model_alias("churn", "Champion", "2")
    store().transition_model_version_stage("churn", "2", "Staging", False)
    return {"run_id": run.run_id}


def _log_model(tmp_path: Path) -> Any:
    experiment = tracking_store().create_experiment("training")
    run = tracking_store().create_run(experiment, "anna", 1, [], "run").info
    path = Path(experiment) / run.run_id / "artifacts" / "model"
    write_model(tmp_path / "tracking" / path, "1")
    return run


def test_in_place_the_rows_get_three_levels_and_owners(
    in_place: dict[str, Any], adopt: Adopt, owner: User
) -> None:
    report = adopt("this", "--unreadable", "fail", "--owner", "owner")
    assert lines(report, "failed") == ["prod.sales.churn/3"]
    assert [one.name for one in store().search_registered_models()] == [
        "prod.sales.churn"
    ]
    version = ModelVersion.objects.get(number=2)
    assert version.mlflow_run_id == in_place["run_id"]
    assert artifacts.verify(version) == []
    assert version.created_by == owner
    theirs = store().get_model_version("prod.sales.churn", "2")
    assert (theirs.status, theirs.current_stage) == ("READY", "None")
    assert theirs.tags == {"adopted_stage": "Staging"}
    assert theirs.aliases == ["Champion"]


def test_in_place_experiments_get_an_owner(
    in_place: dict[str, Any], adopt: Adopt, owner: User
) -> None:
    adopt("this", "--unreadable", "fail", "--owner", "owner")
    assert [row.owner for row in Experiment.objects.filter(name="training")] == [owner]
    registry.require_run(in_place["run_id"], principal=owner)
    assert Event.objects.get(type="experiment.adopted").data["owner"] == "owner"


def test_in_place_a_protected_alias_is_taken_away_until_approved(
    in_place: dict[str, Any], adopt: Adopt, schema: Schema, admin: User
) -> None:
    approvals.create_policy(schema.catalog, "champion", principal=admin)
    for _ in range(2):
        report = adopt("this", "--unreadable", "fail")
        assert lines(report, "needs approval") == ["prod.sales.churn@Champion"]
        assert store().get_registered_model("prod.sales.churn").aliases == {}


def test_in_place_second_run_does_nothing(
    in_place: dict[str, Any], adopt: Adopt, make_version: Callable[..., ModelVersion]
) -> None:
    adopt("this", "--unreadable", "fail")
    make_version(Adoption.objects.get().model)
    again = adopt("this")
    assert {one["result"] for one in again["lines"]} == {"already here"}


def test_in_place_nothing_can_be_skipped(adopt: Adopt) -> None:
    with pytest.raises(CommandError, match="--unreadable fail"):
        adopt("this", "--unreadable", "skip")
