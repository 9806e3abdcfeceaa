"""Runs, snapshots and packages in the lineage of a version."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry.lineage import HIDDEN, Graph, lineage_of
from registry.models import ModelVersion
from runners import services as runners
from runners.models import Pipeline, Run


@pytest.fixture
def trained(pipeline: Pipeline, version: ModelVersion, trainer: User) -> ModelVersion:
    """Version 1, as if a run of the pipeline had registered it."""
    run = runners.start_run(pipeline, principal=trainer)
    ModelVersion.objects.filter(pk=version.pk).update(pipeline_run_id=run.pk)
    version.refresh_from_db()
    return version


def links(graph: Graph) -> set[tuple[str, str, str]]:
    by_id = {node.id: node.name for node in graph.nodes}
    return {(by_id[e.source], e.relation, by_id[e.target]) for e in graph.edges}


def test_run_with_what_it_read_and_ran(trained: ModelVersion, owner: User) -> None:
    run = Run.objects.get()
    assert links(lineage_of(trained, owner)) == {
        (run.snapshot.full_name, "read by", run.full_name),
        ("prod.fraud.tree/1.0", "run as", run.full_name),
        (run.full_name, "trained", "prod.fraud.scorer/1"),
    }


def test_mlflow_run_stands_between_run_and_version(
    trained: ModelVersion, owner: User
) -> None:
    ModelVersion.objects.update(mlflow_run_id=uuid.uuid4().hex)
    trained.refresh_from_db()
    run = Run.objects.get()
    seen = links(lineage_of(trained, owner))
    # of an experiment that is not the owner's
    assert (run.full_name, "logged as", HIDDEN) in seen
    assert (HIDDEN, "registered as", "prod.fraud.scorer/1") in seen


def test_reader_of_the_model_sees_that_it_was_trained_and_no_more(
    trained: ModelVersion, grantee: User, owner: User, use: Callable[..., None]
) -> None:
    use(grantee)
    access.grant(trained.model, Privilege.EXECUTE, grantee, principal=owner)
    seen = links(lineage_of(trained, grantee))
    assert seen == {(HIDDEN, "trained", "prod.fraud.scorer/1")}


def test_who_may_run_the_pipeline_sees_no_dataset_without_a_right_to_it(
    trained: ModelVersion, runner: User, owner: User
) -> None:
    access.grant(trained.model, Privilege.EXECUTE, runner, principal=owner)
    run = Run.objects.get()
    seen = links(lineage_of(trained, runner))
    assert (run.full_name, "trained", "prod.fraud.scorer/1") in seen
    assert (HIDDEN, "read by", run.full_name) in seen
