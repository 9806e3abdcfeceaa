"""What the tests of decisions look at, and how bytes are changed."""

from __future__ import annotations

from approvals.models import ApprovalRequest
from events.models import Event
from registry import artifacts
from registry import services as registry
from registry.models import ModelVersion


def champion(approval: ApprovalRequest) -> ModelVersion | None:
    """Return where Champion points."""
    alias = registry.get_alias(approval.model, "Champion")
    return alias.version if alias else None


def types() -> list[str]:
    """Return the types of what was told of requests and aliases."""
    rows = Event.objects.filter(type__regex=r"^(approval|alias)\.")
    return list(rows.order_by("sequence").values_list("type", flat=True))


def tamper(version: ModelVersion) -> None:
    """Change the stored bytes of a version."""
    path = artifacts.local_directory(version) / "weights.json"
    path.chmod(0o644)
    path.write_text("evil")
