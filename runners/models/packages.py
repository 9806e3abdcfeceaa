"""Packages of training code and their versions `major.minor`."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone


class Package(models.Model):
    """Training code under a name in a schema; an upload is a new major version."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    schema = models.ForeignKey(
        "registry.Schema", models.PROTECT, related_name="packages"
    )
    name = models.CharField(max_length=255)
    full_name = models.CharField(max_length=767, unique=True)
    comment = models.TextField(blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="owned_packages"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                "schema", Lower("name"), name="one_package_per_schema_and_name"
            )
        ]

    def __str__(self) -> str:
        return self.full_name


class PackageVersion(models.Model):
    """Immutable training code: its bytes, its functions, its locked requirements."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    package = models.ForeignKey(Package, models.PROTECT, related_name="versions")
    major = models.PositiveIntegerField()
    minor = models.PositiveIntegerField()
    # sha-256 of the canonical zip, under which it is stored
    digest = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    # {"train.py": ["__init__", "save", "train"], …}: methods of class Main
    functions = models.JSONField(default=dict)
    # requirements with a hash for every file, as `uv pip sync` reads them
    lock = models.TextField(blank=True)
    parent_version = models.ForeignKey(
        "self", models.PROTECT, related_name="trained_versions", null=True
    )
    # the run that wrote it, for a minor version
    run = models.OneToOneField(
        "runners.Run", models.PROTECT, related_name="trained_version", null=True
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "package version"
        ordering: ClassVar = ["-major", "-minor"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["package", "major", "minor"],
                name="one_package_version_per_number",
            )
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def number(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def full_name(self) -> str:
        return f"{self.package.full_name}/{self.number}"
