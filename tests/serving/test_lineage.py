"""Endpoints in the lineage of a version."""

from __future__ import annotations

from collections.abc import Callable

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry.lineage import HIDDEN, Graph, lineage_of
from registry.models import ModelVersion
from serving.models import Rollout
from tests.serving.conftest import settle


def links(graph: Graph) -> set[tuple[str, str, str]]:
    by_id = {node.id: node.name for node in graph.nodes}
    return {(by_id[e.source], e.relation, by_id[e.target]) for e in graph.edges}


def test_endpoints_with_the_share_that_each_version_gets(
    canary: Rollout, champion: ModelVersion, owner: User
) -> None:
    assert links(lineage_of(champion, owner)) == {
        ("prod.fraud.scorer/1", "is served by (90%)", "prod.fraud.live")
    }
    assert links(lineage_of(canary.version, owner)) == {
        ("prod.fraud.scorer/2", "is served by (10%)", "prod.fraud.live")
    }


def test_a_former_champion_was_rolled_out_to_it(
    canary: Rollout, champion: ModelVersion, owner: User
) -> None:
    settle(canary)
    assert links(lineage_of(champion, owner)) == {
        ("prod.fraud.scorer/1", "was rolled out to", "prod.fraud.live")
    }


def test_reader_of_the_model_alone_sees_a_hidden_object(
    champion: ModelVersion, stranger: User, owner: User, use: Callable[..., None]
) -> None:
    use(stranger)
    access.grant(champion.model, Privilege.EXECUTE, stranger, principal=owner)
    assert links(lineage_of(champion, stranger)) == {
        ("prod.fraud.scorer/1", "is served by (100%)", HIDDEN)
    }
