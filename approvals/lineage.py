"""What approvals add to the lineage of versions (see registry.lineage)."""

from __future__ import annotations

from approvals.models import ApprovalRequest
from approvals.reads import visible_requests
from registry.lineage import Graph, node_id


def add(graph: Graph) -> None:
    """Add every request to give an alias to one of the versions."""
    rows = ApprovalRequest.objects.filter(version__in=graph.versions)
    seen = visible_requests(graph.principal).filter(version__in=graph.versions)
    visible = set(seen.order_by().values_list("pk", flat=True))
    for approval in rows.select_related("model").order_by("opened_at"):
        if approval.pk in visible:
            added = graph.add(
                "approval_request",
                approval.pk,
                approval.full_name,
                alias=approval.alias,
                status=approval.status,
                opened_at=approval.opened_at,
                closed_at=approval.closed_at,
            )
        else:
            added = graph.add_hidden("approval_request", approval.pk)
        graph.link(node_id("version", approval.version_id), added, "asked for in")
