"""What proves the log, feeds it and carries it elsewhere."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone


class Leaf(models.Model):
    """One read of bytes: too many for the chain, so sealed into it by the thousand.

    Append-only. `events.seals` folds the hashes of a range into one event.
    """

    type = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=150)
    subject_type = models.CharField(max_length=32)
    subject_id = models.UUIDField()
    subject_name = models.CharField(max_length=800)
    data = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)
    credential = models.CharField(max_length=64, blank=True)
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"{self.pk} {self.type} {self.subject_name}"


class Checkpoint(models.Model):
    """A signed statement of where the chain stood. Append-only."""

    sequence = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    # DSSE, as it is shipped: all that an offline check needs but the public key
    envelope = models.JSONField()

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["sequence"], name="one_checkpoint_per_sequence"
            )
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.hash}"


class Archive(models.Model):
    """A range of the log that was written to files, and may then leave the table.

    Append-only: the triggers let go of no event that such a row does not cover.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    first_sequence = models.BigIntegerField(unique=True)
    last_sequence = models.BigIntegerField(unique=True)
    # what the first event that stays follows
    last_hash = models.CharField(max_length=64)
    # leaves up to here are sealed by events of the range
    last_leaf = models.BigIntegerField()
    file = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["last_sequence"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(last_sequence__gte=models.F("first_sequence")),
                name="archives_run_forward",
            )
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def full_name(self) -> str:
        return f"events {self.first_sequence}-{self.last_sequence}"


class RefusalCount(models.Model):
    """How often the same was refused to the same caller in one minute.

    The first one is an event at once; the others are one event after the minute.
    """

    # of the caller, whoever it is; limits how many different refusals are told
    caller = models.CharField(max_length=64)
    key = models.CharField(max_length=64)
    minute = models.DateTimeField()
    count = models.PositiveIntegerField(default=1)
    last_at = models.DateTimeField()
    # what the event of the others will say
    event = models.JSONField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["caller", "minute", "key"],
                name="one_count_per_refusal_and_minute",
            )
        ]
        indexes: ClassVar = [
            # what the sweep closes
            models.Index(fields=["minute"], name="refusals_by_minute")
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.count}"


class SinkCursor(models.Model):
    """How far a stream was shipped to a target, and what it last said."""

    stream = models.CharField(max_length=16)
    target = models.CharField(max_length=500)
    position = models.BigIntegerField(default=0)
    shipped_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=500, blank=True)
    failing_since = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["stream", "target"], name="one_cursor_per_stream_and_target"
            )
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.target} {self.position}"


class Verification(models.Model):
    """One walk of `verify-audit` over the log, and what it found."""

    at = models.DateTimeField(default=timezone.now)
    first_sequence = models.BigIntegerField()
    last_sequence = models.BigIntegerField()
    problems = models.PositiveIntegerField()
    first_problem = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["-at"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.problems}"
