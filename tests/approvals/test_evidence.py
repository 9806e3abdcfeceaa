"""What approvers look at: collected when it is asked for, by the requester's right."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from mlflow.entities import Dataset, DatasetInput, Metric, Param

from access.models import User
from approvals import evidence as module
from approvals import services as approvals
from approvals.evidence import attach_shadow_comparison, evidence_of
from approvals.models import ApprovalRequest, Policy
from registry import services as registry
from registry.models import ModelVersion
from registry.store import tracking_store

Make = Callable[..., ModelVersion]
SHADOW = {
    "requests": 1000,
    "disagreements": 7,
    "details": {"p95_ms": 12},
    "compared_at": "2026-11-01T00:00:00+00:00",
}


def _log(
    version: ModelVersion, metrics: dict[str, float], person: User, c: str
) -> None:
    """Give a version a run of its own with metrics, a parameter and a dataset."""
    store = tracking_store()
    experiment = registry.create_experiment(f"of {version.number}", principal=person)
    run = store.create_run(experiment.experiment_id, person.username, 0, [], "r")
    run_id = run.info.run_id
    store.log_batch(
        run_id,
        [Metric(name, value, 0, 0) for name, value in metrics.items()],
        [Param("C", c), Param("seed", "1")],
        [],
    )
    data = Dataset(f"cells-{c}", f"d{c}", "local", "file:///secret/place")
    store.log_inputs(run_id, [DatasetInput(data)])
    ModelVersion.objects.filter(pk=version.pk).update(mlflow_run_id=run_id)
    version.refresh_from_db()


@pytest.fixture
def compared(
    policy: Policy, version: ModelVersion, owner: User, make_version: Make
) -> ApprovalRequest:
    """A request for version 2, while version 1 is Champion."""
    registry.set_alias(version.model, "Champion", version, principal=owner)
    second = make_version(version.model, content="2")
    _log(version, {"auc": 0.9, "loss": 0.2}, owner, "1")
    _log(second, {"auc": 0.92, "odd": math.nan}, owner, "10")
    return approvals.request_alias(version.model, "Champion", second, principal=owner)


def test_metrics_stand_side_by_side(compared: ApprovalRequest) -> None:
    auc, loss, odd = evidence_of(compared)["metrics"]
    assert (auc["candidate"], auc["champion"]) == (0.92, 0.9)
    assert auc["delta"] == pytest.approx(0.02)
    assert (loss["candidate"], loss["champion"], loss["delta"]) == (None, 0.2, None)
    assert (odd["candidate"], odd["delta"]) == ("nan", None)


def test_parameters_and_data_of_both_are_told(compared: ApprovalRequest) -> None:
    found = evidence_of(compared)
    assert found["parameters"] == [
        {"name": "C", "candidate": "10", "champion": "1", "differs": True},
        {"name": "seed", "candidate": "1", "champion": "1", "differs": False},
    ]
    assert found["datasets"]["candidate"] == [
        {"name": "cells-10", "digest": "d10", "source": "local"}
    ]
    assert "secret" not in str(found)


def test_both_sides_are_named(compared: ApprovalRequest) -> None:
    found = evidence_of(compared)
    assert found["candidate"]["version"] == 2
    assert found["champion"]["version"] == 1
    assert found["signature"] == {"added": [], "removed": [], "changed": []}
    assert found["code_findings"] == compared.version.code_findings


def test_changed_columns_are_told(version: ModelVersion, make_version: Make) -> None:
    other = make_version(version.model, content="2")
    other.signature = {
        "inputs": '[{"type": "long", "name": "x", "required": true},'
        ' {"type": "string", "name": "y", "required": false}]'
    }
    found = module._signature(other, version)
    assert found == {
        "added": ["input y: string, optional"],
        "removed": ["output 0: double"],
        "changed": ["input x: double → long"],
    }


def test_run_that_the_requester_may_not_read_is_left_out(
    policy: Policy, version: ModelVersion, owner: User, stranger: User
) -> None:
    _log(version, {"auc": 0.9}, stranger, "1")
    approval = approvals.request_alias(
        version.model, "Champion", version, principal=owner
    )
    found = evidence_of(approval)
    assert (found["metrics"], found["parameters"]) == ([], [])
    assert found["left_out"] == [
        "the MLflow run of version 1, which owner may not read"
    ]


def test_first_request_compares_with_nothing(approval: ApprovalRequest) -> None:
    found = evidence_of(approval)
    assert (found["champion"], found["signature"], found["shadow"]) == (
        None,
        None,
        None,
    )


def test_moved_alias_is_compared_anew(
    compared: ApprovalRequest, owner: User, make_version: Make
) -> None:
    attach_shadow_comparison(compared, SHADOW)
    third = make_version(compared.model, content="3")
    registry.set_alias(compared.model, "Champion", third, principal=owner)
    from approvals.lifecycle import settle

    found = evidence_of(settle(compared))
    assert found["champion"]["version"] == 3
    assert found["shadow"] is None


def test_shadow_comparison_fills_its_slot_while_open(
    compared: ApprovalRequest, owner: User
) -> None:
    attach_shadow_comparison(compared, SHADOW)
    compared.refresh_from_db()
    assert evidence_of(compared)["shadow"]["disagreements"] == 7
    approvals.cancel(compared, principal=owner)
    attach_shadow_comparison(compared, {**SHADOW, "disagreements": 0})
    compared.refresh_from_db()
    assert evidence_of(compared)["shadow"]["disagreements"] == 7


def test_request_from_before_there_was_evidence_has_none(
    approval: ApprovalRequest,
) -> None:
    approval.evidence = {}
    assert evidence_of(approval)["metrics"] == []
