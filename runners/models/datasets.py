"""Datasets and their immutable snapshots."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from access.securables import Grant, SchemaObject, permissions_of


class Dataset(SchemaObject):
    """Data under a name in a schema; what is trained on is a snapshot of it."""

    class Meta(SchemaObject.Meta):
        permissions = permissions_of("dataset")
        constraints: ClassVar = [
            models.UniqueConstraint(
                "schema", Lower("name"), name="one_dataset_per_schema_and_name"
            )
        ]


class Snapshot(models.Model):
    """The files of a dataset at one moment, named by the digest of their manifest."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="snapshots")
    digest = models.CharField(max_length=64)
    # [{"path", "size", "sha256"}], in sorted path order
    manifest = models.JSONField()
    files = models.PositiveIntegerField()
    size_bytes = models.BigIntegerField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dataset", "digest"], name="one_snapshot_per_dataset_and_digest"
            )
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def full_name(self) -> str:
        return f"{self.dataset.full_name}/{self.digest[:12]}"


class DatasetGrant(Grant):
    # CASCADE: a grant means nothing without its object
    content_object = models.ForeignKey(Dataset, models.CASCADE, related_name="grants")
