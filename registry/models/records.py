"""What is remembered of models and versions: names, moves, loads, origins."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry.models.registered import Alias, ModelVersion, RegisteredModel

# the origin of models whose rows were in our own database before we were
IN_PLACE = "this"


class FormerName(models.Model):
    """A name that a model bore once. No other bytes ever get a number under it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # in lower case: names that differ in case alone are one name
    key = models.CharField(max_length=767, db_index=True)
    model = models.ForeignKey(
        RegisteredModel, models.PROTECT, related_name="former_names"
    )
    full_name = models.CharField(max_length=767)
    # the highest that it had given out when it left the name
    last_number = models.PositiveIntegerField()
    left_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    left_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.full_name


class Adoption(models.Model):
    """Where a model was taken over from; a second adoption finds it by that."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    model = models.OneToOneField(
        RegisteredModel, models.PROTECT, related_name="adoption"
    )
    # a URL without credentials, or IN_PLACE
    origin = models.CharField(max_length=500)
    origin_name = models.CharField(max_length=256)
    adopted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    adopted_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["origin", "origin_name"], name="one_adoption_per_old_name"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model.full_name} from {self.origin}"


class AliasMove(models.Model):
    """One move of an alias; together they answer "what was Champion then"."""

    alias = models.ForeignKey(Alias, models.PROTECT, related_name="moves")
    generation = models.PositiveIntegerField()
    # null: from here on there was no such alias
    version = models.ForeignKey(
        ModelVersion, models.PROTECT, related_name="+", null=True
    )
    previous_version = models.ForeignKey(
        ModelVersion, models.PROTECT, related_name="+", null=True
    )
    moved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    moved_at = models.DateTimeField()
    # the Event that tells of it, with the request's id and its place in the chain
    event_id = models.UUIDField(default=uuid.uuid4)

    class Meta:
        ordering: ClassVar = ["-generation"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["alias", "generation"],
                name="one_move_per_alias_and_generation",
            )
        ]

    def __str__(self) -> str:
        return f"{self.alias.full_name} #{self.generation}"


class ClientKind(models.TextChoices):
    """What kind of program asked, by what it calls itself."""

    MLFLOW = "mlflow"
    DATABRICKS = "databricks"
    BROWSER = "browser"
    OTHER = "other"


class VersionLoad(models.Model):
    """How often a principal loaded a version in one hour, by one kind of client."""

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="loads")
    principal = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    client = models.CharField(max_length=10, choices=ClientKind.choices)
    hour = models.DateTimeField()
    # of the model description, once for each load; 0: only other files were taken
    count = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            # also what the list of a version's consumers is read from
            models.UniqueConstraint(
                fields=["version", "principal", "client", "hour"],
                name="one_row_of_loads_per_hour",
            ),
            models.CheckConstraint(
                condition=Q(client__in=ClientKind.values), name="client_kind_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.principal} {self.version} {self.hour:%Y-%m-%d %H}h"
