"""Who must agree before an alias moves, and what was decided."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from access.models import User
from registry.models import Catalog, ModelVersion, RegisteredModel, Schema

_WEEK_SECONDS = 7 * 24 * 3600


class Policy(models.Model):
    """What it takes to move the aliases that match a pattern; never edited.

    A change is a new row with the next number; open requests keep the old one
    too, so that loosening a policy never helps a request that is open already.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    catalog = models.ForeignKey(
        Catalog, models.PROTECT, null=True, related_name="policies"
    )
    schema = models.ForeignKey(
        Schema, models.PROTECT, null=True, related_name="policies"
    )
    model = models.ForeignKey(
        RegisteredModel, models.PROTECT, null=True, related_name="policies"
    )
    # a glob, matched without case: `Champion`, `prod-*`
    alias_pattern = models.CharField(max_length=255)
    number = models.PositiveIntegerField()
    approvals_needed = models.PositiveSmallIntegerField(default=1)
    # principals of any kind; none: whoever holds APPROVE
    reviewers = models.ManyToManyField(User, related_name="+")
    # names of the checks that must be reported green
    checks = models.JSONField(default=list)
    # possession of a one-time URL is not a person: off unless an admin says so
    callback_may_approve = models.BooleanField(default=False)
    expires_after_seconds = models.PositiveIntegerField(default=_WEEK_SECONDS)
    rollout_plan = models.JSONField(default=dict)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "policies"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(catalog__isnull=False, schema=None, model=None)
                | Q(catalog=None, schema__isnull=False, model=None)
                | Q(catalog=None, schema=None, model__isnull=False),
                name="policies_have_exactly_one_scope",
            ),
            models.CheckConstraint(
                condition=Q(approvals_needed__gte=1),
                name="policies_need_at_least_one_approval",
            ),
            *(
                models.UniqueConstraint(
                    scope,
                    Lower("alias_pattern"),
                    "number",
                    name=f"one_policy_number_per_{scope}_and_pattern",
                )
                for scope in ("catalog", "schema", "model")
            ),
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def scope(self) -> Catalog | Schema | RegisteredModel:
        """The catalog, schema or model that it protects."""
        found = self.model or self.schema or self.catalog
        assert found is not None  # noqa: S101  # the CHECK says so
        return found

    @property
    def full_name(self) -> str:
        return f"{self.scope.full_name}@{self.alias_pattern}"

    @property
    def expires_after(self) -> dt.timedelta:
        return dt.timedelta(seconds=self.expires_after_seconds)


class RequestStatus(models.TextChoices):
    PENDING = "pending"
    APPROVED = "approved"
    APPLIED = "applied"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    INVALIDATED = "invalidated"
    FAILED = "failed"
    STALE = "stale"


S = RequestStatus
OPEN = (S.PENDING, S.APPROVED)


class ApprovalRequest(models.Model):
    """The wish to move one alias to one version, bound to that version's bytes."""

    TRANSITIONS: ClassVar = {
        S.PENDING: {
            S.APPROVED,
            S.REJECTED,
            S.CANCELLED,
            S.EXPIRED,
            S.SUPERSEDED,
            S.INVALIDATED,
        },
        S.APPROVED: {
            S.APPLIED,
            S.PENDING,
            S.CANCELLED,
            S.EXPIRED,
            S.INVALIDATED,
            S.STALE,
            S.FAILED,
        },
        **{closed: set() for closed in S if closed not in OPEN},
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    model = models.ForeignKey(
        RegisteredModel, models.PROTECT, related_name="approval_requests"
    )
    version = models.ForeignKey(
        ModelVersion, models.PROTECT, related_name="approval_requests"
    )
    digest = models.CharField(max_length=64)
    alias = models.CharField(max_length=255)
    # where the alias pointed, and how often it had moved, when last looked at
    previous_version = models.ForeignKey(
        ModelVersion, models.PROTECT, related_name="+", null=True
    )
    alias_generation = models.PositiveIntegerField(default=0)
    policy = models.ForeignKey(Policy, models.PROTECT, related_name="requests")
    # every policy that it was opened under, as it was then
    policy_snapshot = models.JSONField(default=dict)
    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    reason = models.TextField(blank=True)
    status = models.CharField(max_length=12, choices=S.choices, default=S.PENDING)
    opened_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    closing_reason = models.TextField(blank=True)

    class Meta:
        verbose_name = "approval request"
        ordering: ClassVar = ["-opened_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                "model",
                Lower("alias"),
                condition=Q(status__in=OPEN),
                name="one_open_request_per_model_and_alias",
            ),
            models.CheckConstraint(
                condition=Q(status__in=S.values), name="request_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(status__in=OPEN, closed_at=None)
                | (~Q(status__in=OPEN) & Q(closed_at__isnull=False)),
                name="closed_requests_say_when",
            ),
        ]
        indexes: ClassVar = [
            # what the sweep has to expire
            models.Index(
                fields=["expires_at"],
                name="requests_open",
                condition=Q(status__in=OPEN),
            ),
            # the inbox, newest first
            models.Index(fields=["-opened_at", "-id"], name="requests_newest"),
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def full_name(self) -> str:
        return f"{self.model.full_name}@{self.alias}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def url(self) -> str:
        """The page on which it is decided."""
        return f"{settings.PUBLIC_URL}/approvals/{self.id}/"

    def unmet(self) -> list[str]:
        """List in words what is still missing; empty when nothing is, or closed."""
        from approvals import gate  # a layer above; here for templates

        return gate.unmet(self)


class Verdict(models.TextChoices):
    APPROVE = "approve"
    REJECT = "reject"


class Via(models.TextChoices):
    API = "api"
    CONSOLE = "console"
    CALLBACK = "callback"


class Decision(models.Model):
    """What one person said of one request, bound to the digest they saw."""

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
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    comment = models.TextField(blank=True)
    digest = models.CharField(max_length=64)
    via = models.CharField(max_length=8, choices=Via.choices, default=Via.API)
    decided_at = models.DateTimeField(default=timezone.now)
    # the alias moved meanwhile: it was about another change, and counts no more
    cleared_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["decided_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["request", "approver"],
                condition=Q(cleared_at=None),
                name="one_decision_per_request_and_approver",
            ),
            models.UniqueConstraint(
                fields=["request", "person"],
                condition=Q(cleared_at=None),
                name="one_decision_per_request_and_person",
            ),
            models.CheckConstraint(
                condition=Q(via="callback", approver=None, person=None)
                | (
                    ~Q(via="callback") & Q(approver__isnull=False, person__isnull=False)
                ),
                name="decisions_have_an_approver_or_a_callback",
            ),
            models.CheckConstraint(
                condition=Q(verdict__in=Verdict.values), name="verdict_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.approver or 'callback'} {self.verdict} {self.request_id}"


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
