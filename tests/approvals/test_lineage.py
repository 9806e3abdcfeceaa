"""Approval requests in the lineage of a version."""

from __future__ import annotations

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals.models import ApprovalRequest
from registry.lineage import HIDDEN, lineage_of


def test_owner_sees_the_request_and_its_state(
    approval: ApprovalRequest, owner: User
) -> None:
    graph = lineage_of(approval.version, owner)
    [edge] = graph.edges
    assert (edge.source, edge.relation) == (graph.root, "asked for in")
    node = next(node for node in graph.nodes if node.id == edge.target)
    assert node.name == "prod.fraud.scorer@Champion"
    assert node.details["status"] == "pending"


def test_who_only_browses_sees_a_hidden_object(
    approval: ApprovalRequest, grantee: User, admin: User
) -> None:
    catalog = approval.model.schema.catalog
    access.grant(catalog, Privilege.BROWSE, grantee, principal=admin)
    names = [node.name for node in lineage_of(approval.version, grantee).nodes]
    assert names == ["prod.fraud.scorer/1", HIDDEN]
