"""Who asks for an alias to be moved, and how that ended."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from approvals.models.policies import Policy
from registry.models import ModelVersion, RegisteredModel


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
    # how traffic is to follow; empty: as the endpoint says
    rollout_plan = models.JSONField(default=dict, db_default={})
    # sha-256 over what it is bound to (see approvals.binding), and those things
    binding = models.CharField(max_length=64, blank=True, db_default="")
    bound_to = models.JSONField(default=dict, db_default={})
    # what it was bound to before, to say what changed: [{"binding", "bound_to"}]
    former_bindings = models.JSONField(default=list, db_default=[])
    # what an approver looks at (see approvals.evidence), as it was at opening
    evidence = models.JSONField(default=dict, db_default={})
    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    reason = models.TextField(blank=True)
    status = models.CharField(max_length=12, choices=S.choices, default=S.PENDING)
    opened_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    # when the sweep tries to apply it: a wait, a freeze or a stale check may be over
    look_again_at = models.DateTimeField(null=True)
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
            # what the sweep has to look at again
            models.Index(
                fields=["look_again_at"],
                name="requests_to_look_at",
                condition=Q(status="pending", look_again_at__isnull=False),
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
