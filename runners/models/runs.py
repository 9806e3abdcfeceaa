"""Runs, the attempts at them, and what they leave behind."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class RunStatus(models.TextChoices):
    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    FINALIZING = "finalizing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class FailureClass(models.TextChoices):
    """Whose fault it was; decides who should act, and what is retried."""

    USER_CODE = "user_code"
    TIMEOUT = "timeout"
    ENVIRONMENT = "environment"
    DATA = "data"
    INFRA_LOST = "infra_lost"
    REGISTRATION = "registration"


S = RunStatus
ACTIVE = [S.QUEUED, S.PREPARING, S.RUNNING, S.FINALIZING]
ENDED = [S.SUCCEEDED, S.FAILED, S.CANCELLED]


class Run(models.Model):
    """One training: asked for once, attempted until it ends, registered once."""

    TRANSITIONS: ClassVar = {
        S.QUEUED: {S.PREPARING, S.CANCELLED, S.FAILED},
        S.PREPARING: {S.RUNNING, S.QUEUED, S.FAILED, S.CANCELLED},
        S.RUNNING: {S.FINALIZING, S.QUEUED, S.FAILED, S.CANCELLED},
        S.FINALIZING: {S.SUCCEEDED, S.FAILED, S.CANCELLED},
        S.SUCCEEDED: set(),
        S.FAILED: set(),
        S.CANCELLED: set(),
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pipeline = models.ForeignKey(
        "runners.Pipeline", models.PROTECT, related_name="runs"
    )
    package_version = models.ForeignKey(
        "runners.PackageVersion", models.PROTECT, related_name="runs"
    )
    snapshot = models.ForeignKey(
        "runners.Snapshot", models.PROTECT, related_name="runs"
    )
    folder = models.CharField(max_length=1024, blank=True)
    status = models.CharField(
        max_length=10, choices=RunStatus.choices, default=RunStatus.QUEUED
    )
    wait_reason = models.CharField(max_length=200, blank=True)
    # the environment variables that the training code sees, defaults included
    parameters = models.JSONField(default=dict)
    gpu = models.BooleanField(default=False)
    timeout_seconds = models.PositiveIntegerField()
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    run_as = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    mlflow_run_id = models.CharField(max_length=32, blank=True)
    idempotency_key = models.CharField(max_length=128, blank=True)
    # the number of the latest attempt, and the fencing token of every change
    attempt_number = models.PositiveIntegerField(default=0)
    # until when another host believes that this attempt's host is alive
    lease_until = models.DateTimeField(null=True)
    # when the task that should move this row was last rung for
    rung_at = models.DateTimeField(default=timezone.now)
    infra_left = models.PositiveSmallIntegerField(default=5)
    finalize_tries = models.PositiveSmallIntegerField(default=0)
    cancel_requested_at = models.DateTimeField(null=True)
    cancelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", null=True
    )
    failure_class = models.CharField(
        max_length=12, choices=FailureClass.choices, blank=True
    )
    failure_summary = models.TextField(blank=True)
    # the content of _results.json, once the run has ended
    results = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status__in=RunStatus.values), name="run_status_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=ENDED)
                | Q(ended_at__isnull=False, results__isnull=False),
                name="ended_runs_have_an_end_and_results",
            ),
            models.CheckConstraint(
                condition=~Q(status="failed") | ~Q(failure_class=""),
                name="failed_runs_say_why",
            ),
            models.UniqueConstraint(
                fields=["pipeline", "started_by", "idempotency_key"],
                name="one_run_per_idempotency_key",
                condition=~Q(idempotency_key=""),
            ),
        ]
        indexes: ClassVar = [
            # what the keeper asks five times a second
            models.Index(
                fields=["created_at"],
                name="active_runs",
                condition=Q(status__in=ACTIVE),
            ),
            # the runs of one pipeline, newest first
            models.Index(fields=["pipeline", "-created_at"], name="runs_of_pipeline"),
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def full_name(self) -> str:
        return f"{self.pipeline.full_name}/{self.id}"

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class AttemptStatus(models.TextChoices):
    PREPARING = "preparing"
    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"
    FAILED = "failed"


A = AttemptStatus


class Attempt(models.Model):
    """One start of the training code of a run, on one host."""

    TRANSITIONS: ClassVar = {
        A.PREPARING: {A.RUNNING, A.LOST, A.FAILED},
        A.RUNNING: {A.EXITED, A.LOST},
        A.EXITED: set(),
        A.LOST: set(),
        A.FAILED: set(),
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(Run, models.PROTECT, related_name="attempts")
    number = models.PositiveIntegerField()
    status = models.CharField(
        max_length=9, choices=AttemptStatus.choices, default=AttemptStatus.PREPARING
    )
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField(null=True)
    rc = models.IntegerField(null=True)
    why = models.CharField(max_length=16, blank=True)
    # {"cpu_s", "maxrss_kb", "dropped_log_bytes"} as the shim measured them
    usage = models.JSONField(default=dict)
    log_offset = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "number"], name="one_attempt_per_run_and_number"
            ),
            models.CheckConstraint(
                condition=Q(status__in=AttemptStatus.values),
                name="attempt_status_is_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} attempt {self.number}"


class LogChunk(models.Model):
    """Some bytes of an attempt's log, at their place in it."""

    MAX_BYTES: ClassVar = 256 * 2**10

    # CASCADE: a log means nothing without its attempt
    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="log_chunks")
    offset = models.BigIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering: ClassVar = ["offset"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["attempt", "offset"], name="one_log_chunk_per_offset"
            )
        ]

    def __str__(self) -> str:
        return f"{self.attempt_id} @{self.offset}"


class Registration(models.Model):
    """The one version that an output of a run became, or is becoming."""

    run = models.ForeignKey(Run, models.PROTECT, related_name="registrations")
    output_name = models.CharField(max_length=100)
    version = models.OneToOneField(
        "registry.ModelVersion", models.PROTECT, related_name="registration"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "output_name"], name="one_version_per_run_and_output"
            )
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.output_name}"


class RunOutput(models.Model):
    """A file that the training code left in its artifacts directory."""

    run = models.ForeignKey(Run, models.PROTECT, related_name="outputs")
    path = models.CharField(max_length=1024)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        ordering: ClassVar = ["path"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "path"], name="one_output_per_run_and_path"
            )
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.path}"
