"""What of the log a principal may see: the events of what it sees."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from access.models import User
from approvals.models import ApprovalRequest
from registry.models import Catalog, ModelVersion, RegisteredModel, Schema
from runners.models import Pipeline, Run
from runners.services import visible_runs
from serving.models import Endpoint
from serving.services import known_endpoints


def subjects_seen(person: User) -> dict[str, QuerySet[Any, Any]]:
    """Return the ids of what a principal sees, by kind of subject.

    What is only browsed is no such thing: of it, nothing more is told.
    """
    models = RegisteredModel.objects.detailed(person).values("pk")
    subjects: dict[type[Any], QuerySet[Any, Any]] = {
        Catalog: Catalog.objects.visible(person).values("pk"),
        Schema: Schema.objects.visible(person).values("pk"),
        RegisteredModel: models,
        ModelVersion: ModelVersion.objects.filter(model__in=models).values("pk"),
        ApprovalRequest: ApprovalRequest.objects.filter(model__in=models).values("pk"),
        Endpoint: known_endpoints(person).values("pk"),
        Pipeline: Pipeline.objects.detailed(person).values("pk"),
        Run: visible_runs(person).order_by().values("pk"),
    }
    return {str(kind._meta.model_name): rows for kind, rows in subjects.items()}
