"""Who decides for a reviewer that is away."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class Delegation(models.Model):
    """A reviewer lets another person decide on their behalf for a period.

    Never edited but for its end: decisions name the one they were made under.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    delegator = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="delegations_given"
    )
    delegate = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="delegations_held"
    )
    reason = models.TextField(blank=True)
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(delegator=F("delegate")),
                name="nobody_delegates_to_themselves",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")),
                name="delegations_end_after_they_start",
            ),
            models.CheckConstraint(
                condition=Q(revoked_at=None, revoked_by=None)
                | Q(revoked_at__isnull=False, revoked_by__isnull=False),
                name="revoked_delegations_say_by_whom",
            ),
        ]
        indexes: ClassVar = [
            # on whose behalf may a person decide now
            models.Index(
                fields=["delegate", "ends_at"],
                name="delegations_in_force",
                condition=Q(revoked_at=None),
            )
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def full_name(self) -> str:
        return f"{self.delegator.username} → {self.delegate.username}"

    @property
    def may_end(self) -> bool:
        """Tell whether there is anything left to end."""
        return self.revoked_at is None and timezone.now() < self.ends_at

    @property
    def is_in_force(self) -> bool:
        now = timezone.now()
        return self.revoked_at is None and self.starts_at <= now < self.ends_at
