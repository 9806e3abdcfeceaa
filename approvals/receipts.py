"""Receipts: what a version is and who allowed it, signed, for readers outside."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone

from approvals.models import ApprovalRequest, Decision
from core.errors import Conflict
from registry import signing
from registry.models import ModelVersion, VersionStatus

RECEIPT_TYPE = "urn:greenlight:receipt:v1"


def receipt(version: ModelVersion) -> dict[str, Any]:
    """Return the signed receipt of a READY version: a DSSE envelope.

    Raises Conflict for one that is not READY, or whose bytes were changed.
    """
    require_intact_version(version)
    return signing.sign(signing.statement(version, RECEIPT_TYPE, _facts(version)))


def require_intact_version(version: ModelVersion) -> None:
    """Let only a version through that we can vouch for."""
    if version.status != VersionStatus.READY:
        raise Conflict(f"{version.full_name} is {version.status}, not ready.")
    if version.tampered_at:
        raise Conflict(
            f"The bytes of {version.full_name} were changed; register it again."
        )


def _facts(version: ModelVersion) -> dict[str, Any]:
    requests = version.approval_requests.select_related("requester")
    return {
        "issuer": settings.PUBLIC_URL,
        "issuedAt": timezone.now().isoformat(),
        "version": {
            "id": str(version.pk),
            "registeredBy": version.created_by.username,
            "readyAt": version.ready_at.isoformat() if version.ready_at else None,
            "source": version.source,
            "mlflowRunId": version.mlflow_run_id,
            "files": version.manifest,
            "codeFindings": version.code_findings,
        },
        "approvals": [_approval(row) for row in requests.order_by("opened_at", "id")],
    }


def _approval(request: ApprovalRequest) -> dict[str, Any]:
    decisions = request.decisions.filter(cleared_at=None).select_related("person")
    return {
        "id": str(request.pk),
        "alias": request.alias,
        "status": request.status,
        "digest": request.digest,
        "requester": request.requester.username,
        "reason": request.reason,
        "openedAt": request.opened_at.isoformat(),
        "closedAt": request.closed_at.isoformat() if request.closed_at else None,
        "decisions": [_decision(row) for row in decisions],
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "person": decision.person.username if decision.person else None,
        "verdict": decision.verdict,
        "comment": decision.comment,
        "digest": decision.digest,
        "via": decision.via,
        "decidedAt": decision.decided_at.isoformat(),
    }
