"""Pipelines: what trains which package, for which model."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower

from access.securables import Grant, SchemaObject, permissions_of


class Pipeline(SchemaObject):
    """A package, the model that its runs register, and the principal they run as."""

    TRAINS = "target_model"

    package = models.ForeignKey(
        "runners.Package", models.PROTECT, related_name="pipelines"
    )
    # may not exist before the first run
    target_model = models.CharField(max_length=767)
    # the alias that each new version asks for; empty asks for none
    request_alias = models.CharField(max_length=255, blank=True)
    run_as = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    # what a run trains on unless it names another
    dataset = models.ForeignKey(
        "runners.Dataset", models.PROTECT, related_name="pipelines", null=True
    )
    folder = models.CharField(max_length=1024, blank=True)
    # defaults of the environment variables of its runs
    parameters = models.JSONField(default=dict)
    timeout_seconds = models.PositiveIntegerField(default=24 * 3600)
    is_enabled = models.BooleanField(default=True)

    class Meta(SchemaObject.Meta):
        permissions = permissions_of("pipeline")
        constraints: ClassVar = [
            models.UniqueConstraint(
                "schema", Lower("name"), name="one_pipeline_per_schema_and_name"
            )
        ]


class PipelineGrant(Grant):
    # CASCADE: a grant means nothing without its object
    content_object = models.ForeignKey(Pipeline, models.CASCADE, related_name="grants")
