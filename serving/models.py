"""Endpoints, the servers behind them, and the traffic between: desired state.

The node agent reads these rows and makes processes and Envoy's files match.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from access.securables import Grant, SchemaObject, permissions_of
from registry.models import ModelVersion, RegisteredModel

# Weights are basis points: 10000 is all traffic, 1 is 0.01% of it.
FULL_WEIGHT = 10_000


class Endpoint(SchemaObject):
    """One URL that answers with the version that an alias points at."""

    model = models.ForeignKey(RegisteredModel, models.PROTECT, related_name="endpoints")
    alias = models.CharField(max_length=255)
    # whose EXECUTE on the model lets this endpoint load it (rule P-8)
    run_as = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    plan = models.JSONField()
    # counts every change of weights or servers; the agent reports what it applied
    generation = models.PositiveIntegerField(default=1)

    class Meta(SchemaObject.Meta):
        permissions = permissions_of("endpoint")
        constraints: ClassVar = [
            models.UniqueConstraint(
                "schema", Lower("name"), name="one_endpoint_per_schema_and_name"
            )
        ]
        indexes: ClassVar = [
            # which endpoints follow an alias that has just moved
            models.Index(fields=["model", "alias"], name="endpoints_of_alias")
        ]


class ServerStatus(models.TextChoices):
    STARTING = "starting"
    HEALTHY = "healthy"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"
    CRASH_LOOP = "crash_loop"


class ModelServer(models.Model):
    """One process that serves one version for one endpoint."""

    TRANSITIONS: ClassVar = {
        ServerStatus.STARTING: {
            ServerStatus.HEALTHY,
            ServerStatus.CRASH_LOOP,
            ServerStatus.FAILED,
            ServerStatus.DRAINING,
        },
        ServerStatus.HEALTHY: {
            ServerStatus.STARTING,
            ServerStatus.CRASH_LOOP,
            ServerStatus.DRAINING,
        },
        ServerStatus.CRASH_LOOP: {
            ServerStatus.HEALTHY,
            ServerStatus.FAILED,
            ServerStatus.DRAINING,
        },
        ServerStatus.DRAINING: {ServerStatus.STOPPED},
        ServerStatus.STOPPED: set(),
        ServerStatus.FAILED: set(),
    }
    USABLE: ClassVar = (
        ServerStatus.STARTING,
        ServerStatus.HEALTHY,
        ServerStatus.CRASH_LOOP,
    )
    LIVE: ClassVar = (*USABLE, ServerStatus.DRAINING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="servers")
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="servers")
    digest = models.CharField(max_length=64)
    status = models.CharField(
        max_length=10, choices=ServerStatus.choices, default=ServerStatus.STARTING
    )
    wanted = models.BooleanField(default=True)
    # a former champion stays warm until then; null: for as long as it is wanted
    keep_until = models.DateTimeField(null=True)
    pid = models.PositiveIntegerField(null=True)
    # clock ticks since boot, from /proc: with the pid it names one process
    process_started = models.BigIntegerField(null=True)
    restarts = models.PositiveIntegerField(default=0)
    # back-off after a crash
    next_start_at = models.DateTimeField(null=True)
    message = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    healthy_at = models.DateTimeField(null=True)
    draining_at = models.DateTimeField(null=True)
    drained_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "model server"
        ordering: ClassVar = ["created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status__in=ServerStatus.values),
                name="server_status_is_known",
            ),
            models.UniqueConstraint(
                fields=["endpoint", "version"],
                condition=Q(status__in=["starting", "healthy", "crash_loop"]),
                name="one_usable_server_per_endpoint_and_version",
            ),
        ]
        indexes: ClassVar = [
            # what the agent keeps running, every tick
            models.Index(
                fields=["endpoint"],
                name="servers_live",
                condition=Q(
                    status__in=["starting", "healthy", "crash_loop", "draining"]
                ),
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint.full_name} {self.version.full_name}"

    @property
    def cluster(self) -> str:
        """Envoy's name for it; no dots, they would split its statistics."""
        return f"m-{self.pk.hex}"


class Route(models.Model):
    """The share of an endpoint's traffic that one version is set to get."""

    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="routes")
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="routes")
    weight = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        # the newest first: a canary stands before the champion in Envoy's list
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["endpoint", "version"],
                name="one_route_per_endpoint_and_version",
            ),
            models.CheckConstraint(
                condition=Q(weight__gte=0, weight__lte=FULL_WEIGHT),
                name="weights_are_basis_points",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint.full_name} {self.version.number}: {self.weight}"


class RolloutStatus(models.TextChoices):
    PENDING = "pending"
    PREPARING = "preparing"
    STEP = "step"
    PROMOTING = "promoting"
    BAKING = "baking"
    SUCCEEDED = "succeeded"
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


class RolloutKind(models.TextChoices):
    CANARY = "canary"
    ROLLBACK = "rollback"
    INITIAL = "initial"


S = RolloutStatus


class Rollout(models.Model):
    """One move of an endpoint's traffic to a version, step by step."""

    TRANSITIONS: ClassVar = {
        S.PENDING: {S.PREPARING, S.PAUSED, S.ROLLING_BACK},
        S.PREPARING: {S.STEP, S.PROMOTING, S.PAUSED, S.ROLLING_BACK},
        S.STEP: {S.PROMOTING, S.PAUSED, S.ROLLING_BACK},
        S.PROMOTING: {S.BAKING, S.ROLLING_BACK},
        S.BAKING: {S.SUCCEEDED, S.PAUSED, S.ROLLING_BACK},
        S.PAUSED: {
            S.PENDING,
            S.PREPARING,
            S.STEP,
            S.PROMOTING,
            S.BAKING,
            S.ROLLING_BACK,
        },
        S.ROLLING_BACK: {S.ROLLED_BACK},
        S.SUCCEEDED: set(),
        S.ROLLED_BACK: set(),
    }
    ENDED: ClassVar = (S.SUCCEEDED, S.ROLLED_BACK)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="rollouts")
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="rollouts")
    from_version = models.ForeignKey(
        ModelVersion, models.PROTECT, related_name="+", null=True
    )
    kind = models.CharField(max_length=8, choices=RolloutKind.choices)
    status = models.CharField(
        max_length=12, choices=RolloutStatus.choices, default=RolloutStatus.PENDING
    )
    # where a resume goes back to
    paused_from = models.CharField(max_length=12, blank=True)
    # the endpoint's plan as it was at the start
    plan = models.JSONField()
    step = models.PositiveSmallIntegerField(default=0)
    step_started_at = models.DateTimeField(null=True)
    # when time alone moves it on; null: something else must happen first
    next_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField()
    # bumped by every change: a stale worker changes nothing
    revision = models.PositiveIntegerField(default=1)
    # the event that started it; null when a person did
    event_id = models.UUIDField(null=True)
    # who asked for the rollback; null: the machine decided
    aborted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", null=True
    )
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status__in=RolloutStatus.values),
                name="rollout_status_is_known",
            ),
            models.UniqueConstraint(
                fields=["endpoint"],
                condition=~Q(status__in=["succeeded", "rolled_back"]),
                name="one_active_rollout_per_endpoint",
            ),
            models.UniqueConstraint(
                fields=["endpoint", "event_id"],
                name="one_rollout_per_endpoint_and_event",
            ),
        ]
        indexes: ClassVar = [
            # the history of an endpoint, newest first
            models.Index(
                fields=["endpoint", "-created_at"], name="rollouts_of_endpoint"
            )
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def full_name(self) -> str:
        return f"{self.endpoint.full_name}/{self.version.number}"

    @property
    def is_active(self) -> bool:
        return self.status not in self.ENDED

    @property
    def steps(self) -> list[dict[str, int | bool]]:
        steps: list[dict[str, int | bool]] = self.plan["steps"]
        return steps


class GatewayStatus(models.Model):
    """What one gateway's agent last saw: accepted configuration, real traffic."""

    name = models.CharField(max_length=100, primary_key=True)
    is_ready = models.BooleanField(default=False)
    # {"cds": hash, "rds": hash, "rtds": hash} that Envoy accepted
    acknowledged = models.JSONField(default=dict)
    # {endpoint id: generation} that the accepted files show
    generations = models.JSONField(default=dict)
    # {endpoint id: why its newest fragment is refused; the last good one serves}
    problems = models.JSONField(default=dict)
    # {endpoint id: {version number: {"requests", "errors", "recent"}}}
    seen = models.JSONField(default=dict)
    reported_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class EndpointGrant(Grant):
    # CASCADE: a grant means nothing without its object
    content_object = models.ForeignKey(Endpoint, models.CASCADE, related_name="grants")
