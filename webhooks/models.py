"""Webhooks, what they are owed, and every attempt to deliver it."""

from __future__ import annotations

import uuid
from typing import ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from events.models import Event

# So many failures in a row open the circuit of a webhook.
OPENS_AFTER = 5


class ScopeType(models.TextChoices):
    INSTALLATION = "installation"
    CATALOG = "catalog"
    SCHEMA = "schema"
    MODEL = "model"
    PIPELINE = "pipeline"
    ENDPOINT = "endpoint"


class Format(models.TextChoices):
    """What a body looks like; the three headers of Standard Webhooks go with each."""

    STANDARD = "standard", "Standard Webhooks"
    CLOUDEVENTS = "cloudevents", "CloudEvents 1.0"
    MLFLOW = "mlflow", "MLflow 3"


class WebhookStatus(models.TextChoices):
    ACTIVE = "active"
    DISABLED = "disabled"
    DELETED = "deleted"


class Circuit(models.TextChoices):
    """Whether a receiver that fails is called: always, never, or once to see."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Webhook(models.Model):
    """A subscription: events of these types below this scope go to this URL."""

    TRANSITIONS: ClassVar = {
        WebhookStatus.ACTIVE: {WebhookStatus.DISABLED, WebhookStatus.DELETED},
        WebhookStatus.DISABLED: {WebhookStatus.ACTIVE, WebhookStatus.DELETED},
        WebhookStatus.DELETED: set(),
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    url = models.URLField(max_length=2000)
    description = models.CharField(max_length=500, blank=True)
    scope_type = models.CharField(max_length=12, choices=ScopeType.choices)
    # the full name of what it is about; "" is the installation
    scope = models.CharField(max_length=767, blank=True)
    # globs over event types, such as `approval.*`; in MLflow's format over its names
    event_types = models.JSONField()
    format = models.CharField(
        max_length=11, choices=Format.choices, default=Format.STANDARD
    )
    # an event waits until the earlier ones of its subject are delivered or given up
    is_ordered = models.BooleanField(default=False)
    # how many requests it gets at a time, from all workers together
    max_in_flight = models.PositiveSmallIntegerField(default=4)
    encrypted_secret = models.TextField()
    # what it was before a rotation signs too, until then
    encrypted_old_secret = models.TextField(blank=True)
    old_secret_until = models.DateTimeField(null=True)
    status = models.CharField(
        max_length=8, choices=WebhookStatus.choices, default=WebhookStatus.ACTIVE
    )
    status_message = models.CharField(max_length=500, blank=True)
    # since when nothing has got through; null while it works
    failing_since = models.DateTimeField(null=True)
    failures_in_a_row = models.PositiveIntegerField(default=0)
    # nothing is sent until then: the circuit is open, or the receiver asked for it
    paused_until = models.DateTimeField(null=True)
    # what this principal may not see is not sent
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="webhooks"
    )
    created_at = models.DateTimeField(default=timezone.now)

    # In clear only on the row that makes or rotates it, and never stored.
    secret_text: str = ""

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(scope_type__in=ScopeType.values),
                name="webhook_scope_type_is_known",
            ),
            models.CheckConstraint(
                condition=Q(status__in=WebhookStatus.values),
                name="webhook_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(scope_type="installation", scope="")
                | (~Q(scope_type="installation") & ~Q(scope="")),
                name="only_installation_webhooks_have_no_scope",
            ),
            models.CheckConstraint(
                condition=Q(format__in=Format.values),
                name="webhook_format_is_known",
            ),
            models.CheckConstraint(
                condition=Q(encrypted_old_secret="", old_secret_until=None)
                | (~Q(encrypted_old_secret="") & Q(old_secret_until__isnull=False)),
                name="an_old_secret_has_an_end",
            ),
            models.CheckConstraint(
                condition=Q(max_in_flight__gte=1),
                name="a_webhook_gets_one_request_at_least",
            ),
        ]

    def __str__(self) -> str:
        return self.full_name

    @property
    def full_name(self) -> str:
        """The host and a part of the id: paths of URLs often are secrets."""
        return f"{urlsplit(self.url).hostname}/{self.id.hex[:8]}"

    @property
    def is_paused(self) -> bool:
        return self.paused_until is not None and self.paused_until > timezone.now()

    @property
    def circuit(self) -> Circuit:
        """Whether it is called: a pause that is over lets one request through."""
        if self.is_paused:
            return Circuit.OPEN
        return (
            Circuit.HALF_OPEN
            if self.failures_in_a_row >= OPENS_AFTER
            else Circuit.CLOSED
        )

    @property
    def has_old_secret(self) -> bool:
        """Tell whether the secret before still signs."""
        return (
            self.old_secret_until is not None and self.old_secret_until > timezone.now()
        )


class DeliveryStatus(models.TextChoices):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(models.Model):
    """One event that is owed to one webhook, until it is delivered or given up."""

    TRANSITIONS: ClassVar = {
        DeliveryStatus.PENDING: {DeliveryStatus.DELIVERED, DeliveryStatus.FAILED},
        # back only by hand, to send the same event again
        DeliveryStatus.DELIVERED: {DeliveryStatus.PENDING},
        DeliveryStatus.FAILED: {DeliveryStatus.PENDING},
    }

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    webhook = models.ForeignKey(Webhook, models.PROTECT, related_name="deliveries")
    event = models.ForeignKey(Event, models.PROTECT, related_name="deliveries")
    status = models.CharField(
        max_length=9, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING
    )
    created_at = models.DateTimeField(default=timezone.now)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    # who sends it holds the row until then, under this token
    lease_until = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    # of the event, kept here for the order within a subject
    subject_id = models.UUIDField(null=True)
    sequence = models.BigIntegerField(default=0)
    # how many attempts were begun, and how many failed since the last new start
    attempts_begun = models.PositiveIntegerField(default=0)
    failures = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["webhook", "event"],
                name="one_delivery_per_webhook_and_event",
            ),
            models.CheckConstraint(
                condition=Q(status__in=DeliveryStatus.values),
                name="delivery_status_is_known",
            ),
        ]
        indexes: ClassVar = [
            # what the sweep has to send, fairly by webhook
            models.Index(
                fields=["webhook", "next_attempt_at"],
                name="deliveries_pending",
                condition=Q(status="pending"),
            ),
            # how many senders a webhook has just now
            models.Index(
                fields=["webhook"],
                name="deliveries_leased",
                condition=Q(lease_until__isnull=False),
            ),
            # what an event has to wait for, where a webhook wants them in order
            models.Index(
                fields=["webhook", "subject_id", "sequence"],
                name="deliveries_in_order",
                condition=Q(status="pending"),
            ),
            # the log of one webhook, newest first
            models.Index(
                F("webhook"),
                F("created_at").desc(),
                F("id").desc(),
                name="delivery_log",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} → {self.webhook}"


class Attempt(models.Model):
    """One POST, and what came back."""

    delivery = models.ForeignKey(Delivery, models.PROTECT, related_name="attempts")
    number = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)
    status_code = models.PositiveSmallIntegerField(null=True)
    error = models.TextField(blank=True)
    # without the signatures
    request_headers = models.JSONField(default=dict)
    response_head = models.TextField(blank=True)
    elapsed_seconds = models.FloatField(default=0)

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["delivery", "number"], name="one_attempt_per_number"
            )
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id} #{self.number}: {self.status_code or self.error}"
