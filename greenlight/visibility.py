"""What of the log a principal may see: the events of what it sees."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from access.models import User
from approvals.models import ApprovalRequest
from registry.models import Catalog, ModelVersion, RegisteredModel, Schema
from runners.models import Pipeline, Run
from serving.models import Endpoint
from serving.services import visible_endpoints


def subjects_seen(person: User) -> dict[str, QuerySet[Any, Any]]:
    """Return the ids of what a principal sees, by kind of subject."""
    models = RegisteredModel.objects.detailed(person).values("pk")
    pipelines = Pipeline.objects.visible(person).values("pk")
    subjects: dict[type[Any], QuerySet[Any, Any]] = {
        Catalog: Catalog.objects.visible(person).values("pk"),
        Schema: Schema.objects.visible(person).values("pk"),
        RegisteredModel: models,
        ModelVersion: ModelVersion.objects.filter(model__in=models).values("pk"),
        ApprovalRequest: ApprovalRequest.objects.filter(model__in=models).values("pk"),
        Endpoint: visible_endpoints(person).values("pk"),
        Pipeline: pipelines,
        Run: Run.objects.filter(pipeline__in=pipelines).values("pk"),
    }
    return {str(kind._meta.model_name): rows for kind, rows in subjects.items()}
