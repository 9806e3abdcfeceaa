"""Whom we wrote to about a request, and whom we still have to."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from approvals.models.requests import ApprovalRequest


class NoticeKind(models.TextChoices):
    ASKED = "asked"
    ASKED_AGAIN = "asked_again"
    REMINDER = "reminder"
    EXPIRING = "expiring"
    OUTCOME = "outcome"


class NoticeStatus(models.TextChoices):
    PENDING = "pending"
    SENT = "sent"
    # not of interest any more when its turn came
    DROPPED = "dropped"
    FAILED = "failed"


S = NoticeStatus


class Notice(models.Model):
    """One message to one person about one request; sent by a sweep."""

    TRANSITIONS: ClassVar[dict[str, set[str]]] = {
        S.PENDING: {S.SENT, S.DROPPED, S.FAILED},
        **{ended: set() for ended in S if ended != S.PENDING},
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(ApprovalRequest, models.PROTECT, related_name="notices")
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    kind = models.CharField(max_length=11, choices=NoticeKind.choices)
    # the number of the event that called for a fresh look; 0 is the first look
    round = models.BigIntegerField(default=0)
    status = models.CharField(max_length=7, choices=S.choices, default=S.PENDING)
    failures = models.PositiveSmallIntegerField(default=0)
    # the kind of the last failure; never what a server said, which may hold secrets
    error = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["request", "recipient", "kind", "round"],
                name="one_notice_per_recipient_kind_and_round",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=NoticeKind.values), name="notice_kind_is_known"
            ),
            models.CheckConstraint(
                condition=Q(status__in=S.values), name="notice_status_is_known"
            ),
        ]
        indexes: ClassVar = [
            # what the sweep has to send
            models.Index(
                fields=["next_attempt_at"],
                name="notices_due",
                condition=Q(status="pending"),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.recipient_id} {self.request_id}"


class Reminder(models.Model):
    """That the reviewers of a request were reminded; the row is the claim to do it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(
        ApprovalRequest, models.PROTECT, related_name="reminders"
    )
    kind = models.CharField(max_length=11, choices=NoticeKind.choices)
    round = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["request", "kind", "round"],
                name="one_reminder_per_request_kind_and_round",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.request_id}"
