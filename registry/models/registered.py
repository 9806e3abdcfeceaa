"""Catalogs, schemas, models, versions and aliases: the governance rows.

MLflow's own tables hold what MLflow knows of a model; these rows hold what it
does not: owner, grants, digest, author. They are tied by full name and number.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from access.securables import (
    Grant,
    PresentManager,
    SchemaObject,
    Securable,
    permissions_of,
)


class Metastore(Securable):
    """The installation; who may create catalogs is granted on it."""

    NAME = "metastore"
    IS_PUBLIC = True

    class Meta(Securable.Meta):
        permissions = permissions_of("metastore")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(name="metastore"), name="the_metastore_is_called_so"
            ),
            models.UniqueConstraint(fields=["name"], name="one_metastore"),
        ]

    @property
    def full_name(self) -> str:
        return self.name


class CodePolicy(models.TextChoices):
    """What happens to a model that brings code, beyond the libraries it names."""

    BLOCK = "block"  # no code at all
    REVIEW = "review"  # code is marked; what looks like an attack is refused
    ALLOW = "allow"  # everything is marked, nothing is refused


class Catalog(Securable):
    """The first level of a name: usually an environment, `dev` or `prod`."""

    # CREATE MODEL VERSION counts here, beside ownership (rule P-10)
    delegated_versions = models.BooleanField(default=False)
    # what a model must be like to be registered here
    require_signature = models.BooleanField(default=True, db_default=True)
    code_policy = models.CharField(
        max_length=6,
        choices=CodePolicy.choices,
        default=CodePolicy.REVIEW,
        db_default=CodePolicy.REVIEW,
    )

    class Meta(Securable.Meta):
        permissions = permissions_of("catalog")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(code_policy__in=CodePolicy.values),
                name="catalog_code_policy_is_known",
            ),
            models.UniqueConstraint(Lower("name"), name="one_catalog_per_name"),
        ]

    @property
    def full_name(self) -> str:
        return self.name


class Schema(Securable):
    """The second level of a name: usually a team or a domain."""

    LEVELS = ("self", "catalog")

    catalog = models.ForeignKey(Catalog, models.PROTECT, related_name="schemas")

    class Meta(Securable.Meta):
        permissions = permissions_of("schema")
        constraints: ClassVar = [
            models.UniqueConstraint(
                "catalog", Lower("name"), name="one_schema_per_catalog_and_name"
            )
        ]

    @property
    def full_name(self) -> str:
        return f"{self.catalog.name}.{self.name}"


class RegisteredModel(SchemaObject):
    """A model `catalog.schema.model`, or a prompt of MLflow's under such a name."""

    # an MLflow prompt: its versions are texts and have no files
    is_prompt = models.BooleanField(default=False)
    # versions are numbered from the next one: its name had these before
    numbers_after = models.PositiveIntegerField(default=0)
    # a tombstone: it bears its name no more, and nobody finds it by one
    deleted_at = models.DateTimeField(null=True)

    objects: ClassVar[PresentManager] = PresentManager()

    IS_TRAINED = True

    class Meta(SchemaObject.Meta):
        verbose_name = "model"
        permissions = permissions_of("registeredmodel")
        constraints: ClassVar = [
            models.UniqueConstraint(
                "schema",
                Lower("name"),
                condition=Q(deleted_at=None),
                name="one_model_per_schema_and_name",
            )
        ]
        indexes: ClassVar = [
            # registry.walks: the models of one owner, by the bytes of their names
            models.Index(
                fields=["owner", "full_name"],
                name="models_of_owner",
                opclasses=["uuid_ops", "varchar_pattern_ops"],
            )
        ]


class VersionStatus(models.TextChoices):
    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    DELETED = "deleted"


class ModelVersion(models.Model):
    """An immutable version of a model: its bytes, their digest, their author."""

    TRANSITIONS: ClassVar = {
        VersionStatus.PENDING: {
            VersionStatus.READY,
            VersionStatus.FAILED,
            VersionStatus.DELETED,
        },
        VersionStatus.READY: {VersionStatus.DELETED},
        VersionStatus.FAILED: {VersionStatus.DELETED},
        VersionStatus.DELETED: set(),
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    model = models.ForeignKey(RegisteredModel, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    status = models.CharField(
        max_length=8, choices=VersionStatus.choices, default=VersionStatus.PENDING
    )
    status_message = models.TextField(blank=True)
    source = models.TextField()
    # where the bytes are copied from, resolved and authorized at registration:
    # a path, or the URL of a place in object storage
    source_directory = models.TextField()
    # where the bytes are, in the governed store
    storage_path = models.CharField(max_length=128, blank=True, db_default="")
    mlflow_run_id = models.CharField(max_length=32, blank=True)
    logged_model_id = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    # [{"path", "size", "sha256"}], in sorted path order
    manifest = models.JSONField(default=list)
    # of the source while it is copied, then of the manifest
    size_bytes = models.BigIntegerField(default=0)
    # how much of it was copied so far
    taken_bytes = models.BigIntegerField(default=0, db_default=0)
    signature = models.JSONField(null=True)
    # the code that it brings, [{"path", "kind", "detail"}]; null: nobody looked
    code_findings = models.JSONField(null=True)
    # the training run, which registers only once whatever dies and is repeated
    pipeline_run_id = models.UUIDField(null=True, unique=True)
    # the version of this or another model whose bytes it has
    copied_from = models.ForeignKey(
        "self", models.PROTECT, related_name="copies", null=True
    )
    # where the run, package, snapshot and parameters came from
    lineage = models.JSONField(default=dict)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    # the person who started the run that registered it, when another
    on_behalf_of = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", null=True
    )
    created_at = models.DateTimeField(default=timezone.now)
    ready_at = models.DateTimeField(null=True)
    tampered_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    # of the body of the request, until its caller is known to ask anew
    request_digest = models.CharField(max_length=64, blank=True)
    # who takes the bytes holds the row until then
    lease_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "version"
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["model", "number"], name="one_version_per_model_and_number"
            ),
            models.CheckConstraint(
                condition=Q(status__in=VersionStatus.values),
                name="version_status_is_known",
            ),
            models.CheckConstraint(
                condition=~Q(status="ready") | ~Q(digest=""),
                name="ready_versions_have_a_digest",
            ),
            models.CheckConstraint(
                condition=Q(status="deleted", deleted_at__isnull=False)
                | (~Q(status="deleted") & Q(deleted_at=None)),
                name="deleted_versions_say_when",
            ),
        ]
        indexes: ClassVar = [
            # what the sweep has to finish
            models.Index(
                fields=["lease_until"],
                name="versions_pending",
                condition=Q(status="pending"),
            ),
            # is this request a replay of one that was answered already
            models.Index(
                fields=["model", "request_digest"],
                name="versions_by_request",
                condition=~Q(request_digest=""),
            ),
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def full_name(self) -> str:
        return f"{self.model.full_name}/{self.number}"

    @property
    def authors(self) -> set[uuid.UUID]:
        """The persons who made it: they may not approve it."""
        makers = [self.created_by, self.on_behalf_of]
        return {maker.person.id for maker in makers if maker}


class Alias(models.Model):
    """A movable name for one version, with the number of times that it moved."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    model = models.ForeignKey(RegisteredModel, models.PROTECT, related_name="aliases")
    name = models.CharField(max_length=255)
    # null after the alias was deleted: the generation goes on counting
    version = models.ForeignKey(
        ModelVersion, models.PROTECT, related_name="aliases", null=True
    )
    previous_version = models.ForeignKey(
        ModelVersion, models.PROTECT, related_name="+", null=True
    )
    generation = models.PositiveIntegerField(default=1)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    set_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "aliases"
        constraints: ClassVar = [
            models.UniqueConstraint(
                "model", Lower("name"), name="one_alias_per_model_and_name"
            )
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def full_name(self) -> str:
        return f"{self.model.full_name}@{self.name}"


class Experiment(Securable):
    """An MLflow experiment: private, or in a schema whose grants it inherits."""

    LEVELS = ("self", "schema", "schema__catalog")

    experiment_id = models.CharField(max_length=32, unique=True)
    # null: private to its owner and whom it is granted to
    schema = models.ForeignKey(
        Schema, models.PROTECT, null=True, related_name="experiments"
    )

    class Meta(Securable.Meta):
        permissions = permissions_of("experiment")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name"], name="one_experiment_per_name")
        ]

    @property
    def full_name(self) -> str:
        return self.name


class MetastoreGrant(Grant):
    # CASCADE: a grant means nothing without its object
    content_object = models.ForeignKey(Metastore, models.CASCADE, related_name="grants")


class CatalogGrant(Grant):
    content_object = models.ForeignKey(Catalog, models.CASCADE, related_name="grants")


class SchemaGrant(Grant):
    content_object = models.ForeignKey(Schema, models.CASCADE, related_name="grants")


class ModelGrant(Grant):
    content_object = models.ForeignKey(
        RegisteredModel, models.CASCADE, related_name="grants"
    )


class ExperimentGrant(Grant):
    content_object = models.ForeignKey(
        Experiment, models.CASCADE, related_name="grants"
    )
