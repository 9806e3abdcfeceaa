"""What happened: one append-only table that is audit log and outbox at once."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models


class Event(models.Model):
    """One thing that happened, chained by hash to the one before it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sequence = models.BigIntegerField(unique=True)
    # of EventType; no choices here, so that a new type needs no migration
    type = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    # Plain values, not foreign keys: an event outlives what it tells of, and
    # this app stands below the apps that own those rows.
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=150)
    subject_type = models.CharField(max_length=32)
    subject_id = models.UUIDField()
    subject_name = models.CharField(max_length=800)
    data = models.JSONField(default=dict)
    # of Outcome
    outcome = models.CharField(max_length=8, default="success")
    request_id = models.CharField(max_length=64, blank=True)
    # by what the actor was known: `token:<id>`, `session:<digest>`, `password`
    credential = models.CharField(max_length=64, blank=True)
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering: ClassVar = ["sequence"]
        indexes: ClassVar = [
            # the activity of one object, newest first
            models.Index(
                fields=["subject_id", "-sequence"], name="activity_of_subject"
            ),
            # the activity of one type, newest first
            models.Index(fields=["type", "-sequence"], name="activity_of_type"),
            # the activity of one principal, newest first
            models.Index(fields=["actor_id", "-sequence"], name="activity_of_actor"),
            # what was refused or failed, newest first
            models.Index(
                fields=["-sequence"],
                name="activity_gone_wrong",
                condition=~models.Q(outcome="success"),
            ),
            # where a day begins: `--before`, and the filter by time
            models.Index(fields=["created_at"], name="activity_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.type} {self.subject_name}"


class ChainHead(models.Model):
    """The end of the hash chain; its row lock orders the events."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="one_chain_head")
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.hash}"


class OutboxEntry(models.Model):
    """One event that one subscriber has not handled yet, or has."""

    # CASCADE: an event goes only into an archive, and then nothing waits for it
    event = models.ForeignKey(Event, models.CASCADE, related_name="outbox")
    task = models.CharField(max_length=100)
    rung_at = models.DateTimeField(null=True)
    handled_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["event", "task"], name="one_entry_per_event_and_task"
            )
        ]
        indexes: ClassVar = [
            # what the relay still has to ring for
            models.Index(
                fields=["event"],
                name="outbox_waiting",
                condition=models.Q(handled_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.event_id} {self.task}"
