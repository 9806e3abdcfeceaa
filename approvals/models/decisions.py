"""What persons and automated checks said of a request."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from access.models import User
from approvals.models.delegations import Delegation
from approvals.models.requests import ApprovalRequest


class Verdict(models.TextChoices):
    APPROVE = "approve"
    REJECT = "reject"


class Via(models.TextChoices):
    API = "api"
    CONSOLE = "console"
    CALLBACK = "callback"


class Decision(models.Model):
    """What one person said of one request, bound to what they saw of it."""

    # True on the answer to a repeated decision: nothing was written
    is_replay = False

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(
        ApprovalRequest, models.PROTECT, related_name="decisions"
    )
    # null: whoever held a one-time callback
    approver = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    # the human behind the approver; four eyes are counted in these
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    # whose right it was, when a reviewer had delegated it to the approver
    on_behalf_of = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    delegation = models.ForeignKey(
        Delegation, models.PROTECT, null=True, related_name="decisions"
    )
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    comment = models.TextField(blank=True)
    digest = models.CharField(max_length=64)
    binding = models.CharField(max_length=64, blank=True, db_default="")
    via = models.CharField(max_length=8, choices=Via.choices, default=Via.API)
    decided_at = models.DateTimeField(default=timezone.now)
    # struck out for good, and why: taken back, or about a change that is no more
    cleared_at = models.DateTimeField(null=True)
    cleared_because = models.TextField(blank=True, db_default="")

    class Meta:
        ordering: ClassVar = ["decided_at"]
        constraints: ClassVar = [
            # a person may speak for themselves and for others, for each once
            models.UniqueConstraint(
                "request",
                Coalesce("on_behalf_of", "person"),
                condition=Q(cleared_at=None),
                name="one_decision_per_request_and_reviewer",
            ),
            models.CheckConstraint(
                condition=Q(via="callback", approver=None, person=None)
                | (
                    ~Q(via="callback") & Q(approver__isnull=False, person__isnull=False)
                ),
                name="decisions_have_an_approver_or_a_callback",
            ),
            models.CheckConstraint(
                condition=Q(on_behalf_of=None, delegation=None)
                | Q(on_behalf_of__isnull=False, delegation__isnull=False),
                name="decisions_for_another_name_the_delegation",
            ),
            models.CheckConstraint(
                condition=Q(verdict__in=Verdict.values), name="verdict_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.approver or 'callback'} {self.verdict} {self.request_id}"

    @property
    def reviewer(self) -> User | None:
        """Return whose right it is: the delegator's, or the approver's own."""
        return self.on_behalf_of or self.approver


class Check(models.Model):
    """One report of one automated check; the latest of a name counts."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(ApprovalRequest, models.PROTECT, related_name="checks")
    name = models.CharField(max_length=200)
    passed = models.BooleanField()
    comment = models.TextField(blank=True)
    details_url = models.CharField(max_length=2000, blank=True)
    evidence = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)
    # null: whoever held a one-time callback
    reported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    via = models.CharField(max_length=8, choices=Via.choices, default=Via.API)
    reported_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["reported_at"]

    def __str__(self) -> str:
        return f"{self.name} {'passed' if self.passed else 'failed'}"


class Callback(models.Model):
    """A one-time token by which the receiver of one webhook may answer once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    request = models.ForeignKey(
        ApprovalRequest, models.PROTECT, related_name="callbacks"
    )
    # a plain value: webhooks is a sibling of this app
    webhook_id = models.UUIDField()
    # sha-256 of the token, which is derived anew whenever it is sent
    token_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    # what the first use was answered; a replay is answered the same
    answer = models.JSONField(default=dict)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["request", "webhook_id"],
                name="one_callback_per_request_and_webhook",
            )
        ]

    def __str__(self) -> str:
        return f"{self.webhook_id} {self.request_id}"
