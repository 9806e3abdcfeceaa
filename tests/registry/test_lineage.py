"""Copies and MLflow runs in the lineage of a version, and what stays hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry import services as registry
from registry.lineage import HIDDEN, Graph, lineage_of
from registry.models import ModelVersion, RegisteredModel
from registry.store import tracking_store

LINEAGE = "models/{}/versions/{}/lineage"
Call = Callable[..., Any]


def names(graph: Graph) -> set[str]:
    return {node.name for node in graph.nodes}


def links(graph: Graph) -> set[tuple[str, str, str]]:
    """Return (name, relation, name) of every edge."""
    by_id = {node.id: node.name for node in graph.nodes}
    return {(by_id[e.source], e.relation, by_id[e.target]) for e in graph.edges}


@pytest.fixture
def copies(version: ModelVersion, owner: User, admin: User) -> list[ModelVersion]:
    """prod.fraud.scorer/1, its copy in stage.fraud, and the copy's in stage.out."""
    registry.create_catalog("stage", principal=admin)
    made = [version]
    for schema in ("stage.fraud", "stage.out"):
        registry.create_schema(schema, principal=admin)
        model = registry.create_model(f"{schema}.scorer", principal=admin)
        _give(model, owner, admin)
        source = f"models:/{made[-1].full_name}"
        made.append(registry.create_version(model, source, principal=owner))
    return made


def _give(model: RegisteredModel, owner: User, admin: User) -> None:
    for securable, privilege in [
        (model.schema.catalog, Privilege.USE_CATALOG),
        (model.schema, Privilege.USE_SCHEMA),
    ]:
        access.grant(securable, privilege, owner, principal=admin)
    RegisteredModel.objects.filter(pk=model.pk).update(owner=owner)
    model.owner = owner


CHAIN = {
    ("prod.fraud.scorer/1", "copied to", "stage.fraud.scorer/1"),
    ("stage.fraud.scorer/1", "copied to", "stage.out.scorer/1"),
}


@pytest.mark.parametrize("index", [0, 1, 2])
def test_owner_sees_the_chain_of_copies_from_any_link(
    copies: list[ModelVersion], owner: User, index: int
) -> None:
    graph = lineage_of(copies[index], owner)
    assert links(graph) == CHAIN
    assert graph.root == f"version:{copies[index].pk}"
    assert graph.is_complete


def test_what_one_may_not_see_has_no_name_and_ends_the_walk(
    copies: list[ModelVersion], grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE)
    graph = lineage_of(copies[0], grantee)
    assert links(graph) == {("prod.fraud.scorer/1", "copied to", HIDDEN)}
    [hidden] = [node for node in graph.nodes if node.is_hidden]
    assert (hidden.id, hidden.kind, hidden.details) == ("hidden:1", "hidden", {})


def test_mlflow_run_of_the_source_stands_before_it(
    copies: list[ModelVersion], owner: User, grantee: User, use: Callable[..., None]
) -> None:
    experiment = registry.create_experiment("owners", principal=owner)
    run = tracking_store().create_run(experiment.experiment_id, "owner", 0, [], "best")
    ModelVersion.objects.update(mlflow_run_id=run.info.run_id)
    copies[0].refresh_from_db()
    seen = links(lineage_of(copies[0], owner))
    assert seen == CHAIN | {(run.info.run_id, "registered as", "prod.fraud.scorer/1")}

    use(grantee, Privilege.EXECUTE)
    assert run.info.run_id not in names(lineage_of(copies[0], grantee))


def test_many_copies_are_cut_off_and_it_says_so(
    version: ModelVersion, owner: User
) -> None:
    ModelVersion.objects.bulk_create(
        ModelVersion(
            model=version.model, number=n, created_by=owner, copied_from=version
        )
        for n in range(2, 130)
    )
    graph = lineage_of(version, owner)
    assert len(graph.nodes) == 100
    assert not graph.is_complete


def test_lineage_costs_the_same_for_one_copy_and_for_many(
    version: ModelVersion, owner: User, django_assert_max_num_queries: Any
) -> None:
    ModelVersion.objects.bulk_create(
        ModelVersion(
            model=version.model, number=n, created_by=owner, copied_from=version
        )
        for n in range(2, 60)
    )
    with django_assert_max_num_queries(14):
        lineage_of(version, owner)


def test_rest_of_lineage(call: Call, copies: list[ModelVersion], owner: User) -> None:
    body = call(owner, "get", LINEAGE.format("stage.fraud.scorer", 1)).json()
    assert body["root"] == f"version:{copies[1].pk}"
    assert {edge["relation"] for edge in body["edges"]} == {"copied to"}
    assert {node["details"]["digest"] for node in body["nodes"]} == {copies[0].digest}


def test_stranger_and_unknown_version_find_nothing(
    call: Call, version: ModelVersion, owner: User, stranger: User
) -> None:
    path = LINEAGE.format("prod.fraud.scorer", 1)
    assert call(stranger, "get", path).status_code == 404
    assert call(owner, "get", LINEAGE.format("prod.fraud.x", 1)).status_code == 404
    unknown = call(owner, "get", LINEAGE.format("prod.fraud.scorer", 9))
    assert unknown.status_code == 404
