"""What it takes to move an alias."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from registry.models import Catalog, RegisteredModel, Schema

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
    # [{"needed": 2, "principals": [{"id", "name"}, …]}]; without principals whoever
    # holds APPROVE. Values, not rows: what a policy said stays what it said.
    rules = models.JSONField(default=list)
    # one person counts for at most one of the rules
    distinct_reviewers = models.BooleanField(default=True)
    rejects_needed = models.PositiveSmallIntegerField(default=1)
    # [{"name", "max_age_seconds", "reporter": {"id", "name"} or null}]
    checks = models.JSONField(default=list)
    # texts such as `accuracy >= 0.92`; see approvals.rules.metrics
    metrics = models.JSONField(default=list)
    wait_seconds = models.PositiveIntegerField(default=0)
    expires_after_seconds = models.PositiveIntegerField(default=_WEEK_SECONDS)
    # see approvals.rules.freeze
    freezes = models.JSONField(default=list)
    # beyond what the installation asks for
    cooling_seconds = models.PositiveIntegerField(default=0)
    # possession of a one-time URL is not a person: off unless an admin says so
    callback_may_approve = models.BooleanField(default=False)
    # who may go past it, and how they must say why:
    # {"principals": [{"id", "name"}], "min_reason_length", "ticket_pattern"}
    bypass = models.JSONField(default=dict)
    rollout_plan = models.JSONField(default=dict)
    # the number that ends it: nothing is asked for any more
    is_retired = models.BooleanField(default=False)
    note = models.TextField(blank=True, default="")
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
                condition=Q(rejects_needed__gte=1),
                name="policies_need_at_least_one_reject",
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
    def approvals_needed(self) -> int:
        """How many approvals all rules ask for, together."""
        return sum(rule["needed"] for rule in self.rules)

    @property
    def reviewer_names(self) -> list[str]:
        """The names of everybody whom a rule lists; empty when none does."""
        return sorted(
            {who["name"] for rule in self.rules for who in rule["principals"]}
        )

    @property
    def check_names(self) -> list[str]:
        return [check["name"] for check in self.checks]

    @property
    def expires_after(self) -> dt.timedelta:
        return dt.timedelta(seconds=self.expires_after_seconds)
