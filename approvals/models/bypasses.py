"""That somebody went past the policies of an alias; kept for good."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry.models import ModelVersion, RegisteredModel


class Bypass(models.Model):
    """One move of an alias that no approval stands behind, and why it was made."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    model = models.ForeignKey(RegisteredModel, models.PROTECT, related_name="bypasses")
    alias = models.CharField(max_length=255)
    # which move of the alias it was
    generation = models.PositiveIntegerField()
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="bypasses")
    digest = models.CharField(max_length=64)
    reason = models.TextField()
    ticket = models.CharField(max_length=100, blank=True)
    # the ids of the policies that it went past
    policies = models.JSONField(default=list)
    bypassed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    bypassed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "bypasses"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["model", "alias", "generation"],
                name="one_bypass_per_move_of_an_alias",
            )
        ]

    def __str__(self) -> str:
        return f"{self.model}@{self.alias} {self.generation}"
