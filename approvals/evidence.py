"""What approvers look at: candidate and champion side by side, kept on the request.

Collected when the request is opened, by the right of who asks: a run or dataset
that the requester may not read is left out, and that is said. Approvers see what
was collected, whether or not they may read the experiment it came from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, cast

from django.db import transaction
from django.utils import timezone

from access.models import User
from approvals.models import ApprovalRequest
from approvals.shapes import (
    EvidenceDatasetJson,
    EvidenceJson,
    EvidenceSideJson,
    MetricDeltaJson,
    ParameterDiffJson,
    ShadowJson,
    SignatureDiffJson,
)
from core.errors import DomainError
from registry.experiments import require_run
from registry.models import ModelVersion
from registry.signatures import columns_of
from registry.store import tracking_store

_MOST = 200
_TEXT = 500


@dataclass
class _Facts:
    """What is known of one side of the comparison."""

    metrics: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    datasets: list[EvidenceDatasetJson] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def evidence_of(approval: ApprovalRequest) -> EvidenceJson:
    """Return the evidence of a request; nothing is in it for an older one."""
    return cast("EvidenceJson", {**_EMPTY, **approval.evidence})


def collect_evidence(
    candidate: ModelVersion, champion: ModelVersion | None, *, principal: User
) -> EvidenceJson:
    """Compare a version with the one that the alias points at, as JSON."""
    new = _facts_of(candidate, principal)
    old = _facts_of(champion, principal) if champion else _Facts()
    return {
        "candidate": _side(candidate),
        "champion": _side(champion) if champion else None,
        "metrics": _metrics(new.metrics, old.metrics),
        "parameters": _parameters(new.parameters, old.parameters),
        "signature": _signature(candidate, champion) if champion else None,
        "datasets": {"candidate": new.datasets, "champion": old.datasets},
        "code_findings": candidate.code_findings,
        "shadow": None,
        "left_out": new.left_out + old.left_out,
        "collected_at": timezone.now().isoformat(),
    }


_EMPTY: EvidenceJson = {
    "candidate": None,
    "champion": None,
    "metrics": [],
    "parameters": [],
    "signature": None,
    "datasets": {"candidate": [], "champion": []},
    "code_findings": None,
    "shadow": None,
    "left_out": [],
    "collected_at": "",
}


@transaction.atomic
def attach_shadow_comparison(approval: ApprovalRequest, found: ShadowJson) -> None:
    """Fill the slot for what mirrored traffic showed; for the app that mirrors it.

    No right is asked for: it is what we measured. Closed requests keep theirs.
    """
    locked = ApprovalRequest.objects.select_for_update().get(pk=approval.pk)
    if locked.is_open:
        locked.evidence = {**evidence_of(locked), "shadow": found}
        locked.save(update_fields=["evidence"])


def _side(version: ModelVersion) -> EvidenceSideJson:
    return {
        "version": version.number,
        "digest": version.digest,
        "files": len(version.manifest),
        "size_bytes": version.size_bytes,
        "mlflow_run_id": version.mlflow_run_id,
    }


def _facts_of(version: ModelVersion, principal: User) -> _Facts:
    facts = _Facts(datasets=_trained_on(version))
    if not version.mlflow_run_id:
        return facts
    try:
        require_run(version.mlflow_run_id, principal=principal)
    except DomainError:
        facts.left_out.append(
            f"the MLflow run of version {version.number}, which "
            f"{principal.username} may not read"
        )
        return facts
    run = tracking_store().get_run(version.mlflow_run_id)
    facts.metrics = dict(run.data.metrics)
    facts.parameters = dict(run.data.params)
    facts.datasets += _inputs_of(run)
    return facts


def _trained_on(version: ModelVersion) -> list[EvidenceDatasetJson]:
    """Return the snapshot that the version's training run read."""
    known = version.lineage
    if "snapshot" not in known:
        return []
    source = known.get("folder", "")
    return [{"name": known["dataset"], "digest": known["snapshot"], "source": source}]


def _inputs_of(run: Any) -> list[EvidenceDatasetJson]:
    """Return the datasets that were logged on an MLflow run."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return [
        {
            "name": one.dataset.name[:_TEXT],
            "digest": one.dataset.digest[:_TEXT],
            "source": one.dataset.source_type[:_TEXT],
        }
        for one in inputs[:_MOST]
    ]


def _metrics(new: dict[str, float], old: dict[str, float]) -> list[MetricDeltaJson]:
    """Return the metrics of both, those first that differ the most in themselves."""
    names = sorted({*new, *old})[:_MOST]
    return [
        {
            "name": name,
            "candidate": _number(new.get(name)),
            "champion": _number(old.get(name)),
            "delta": _number(new[name] - old[name])
            if name in new and name in old
            else None,
        }
        for name in names
    ]


def _number(value: float | None) -> float | str | None:
    """Return a number as JSON can say it: NaN and infinities are words there."""
    if value is None or math.isfinite(value):
        return value
    return str(value)


def _parameters(new: dict[str, str], old: dict[str, str]) -> list[ParameterDiffJson]:
    """Return the parameters of both, those that differ first."""
    names = sorted(
        {*new, *old}, key=lambda name: (new.get(name) == old.get(name), name)
    )
    return [
        {
            "name": name,
            "candidate": _cut(new.get(name)),
            "champion": _cut(old.get(name)),
            "differs": new.get(name) != old.get(name),
        }
        for name in names[:_MOST]
    ]


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_TEXT]


def _signature(candidate: ModelVersion, champion: ModelVersion) -> SignatureDiffJson:
    new, old = _columns(candidate), _columns(champion)
    return {
        "added": [f"{name}: {new[name]}" for name in new if name not in old],
        "removed": [f"{name}: {old[name]}" for name in old if name not in new],
        "changed": [
            f"{name}: {old[name]} → {new[name]}"
            for name in new
            if name in old and new[name] != old[name]
        ],
    }


def _columns(version: ModelVersion) -> dict[str, str]:
    """Return the type of every column by side and name, for comparison."""
    return {
        f"{column.side} {column.name.removeprefix(f'{column.side} ')}": column.type
        + ("" if column.is_required else ", optional")
        for column in columns_of(version.signature or {})
    }
