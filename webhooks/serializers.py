"""Shapes of webhooks, deliveries and attempts on the wire."""

from __future__ import annotations

from typing import TypedDict

from rest_framework import serializers

from core.serializers import InputSerializer
from webhooks.models import Attempt, Delivery, Format, ScopeType, Webhook
from webhooks.services.secrets import LONGEST_OVERLAP, OVERLAP
from webhooks.services.subscriptions import MAX_IN_FLIGHT

_PATTERN = r"^[a-z_.*?]{1,64}$"


class WebhookInput(InputSerializer):
    """What a new webhook is made of."""

    url = serializers.CharField(max_length=2000)
    event_types = serializers.ListField(
        child=serializers.RegexField(_PATTERN), min_length=1, max_length=50
    )
    scope_type = serializers.ChoiceField(
        choices=ScopeType.choices, default=ScopeType.INSTALLATION
    )
    scope = serializers.CharField(max_length=767, default="", allow_blank=True)
    description = serializers.CharField(max_length=500, default="", allow_blank=True)
    format = serializers.ChoiceField(choices=Format.choices, default=Format.STANDARD)
    ordered = serializers.BooleanField(default=False)
    max_in_flight = serializers.IntegerField(
        min_value=1, max_value=MAX_IN_FLIGHT, default=4
    )
    secret = serializers.CharField(max_length=512, default="", allow_blank=True)


class WebhookChangesInput(InputSerializer):
    """What of a webhook can be changed; what is not given stays."""

    url = serializers.CharField(max_length=2000, required=False)
    event_types = serializers.ListField(
        child=serializers.RegexField(_PATTERN),
        min_length=1,
        max_length=50,
        required=False,
    )
    description = serializers.CharField(
        max_length=500, required=False, allow_blank=True
    )
    ordered = serializers.BooleanField(required=False)
    max_in_flight = serializers.IntegerField(
        min_value=1, max_value=MAX_IN_FLIGHT, required=False
    )


class RotationInput(InputSerializer):
    """How long the old secret signs too, and the new one if it is one's own."""

    overlap_seconds = serializers.IntegerField(
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds()),
        default=int(OVERLAP.total_seconds()),
    )
    secret = serializers.CharField(max_length=512, default="", allow_blank=True)


class SinceInput(InputSerializer):
    """From when on."""

    since = serializers.DateTimeField()


class PageInput(InputSerializer):
    """Which page of a listing."""

    max_results = serializers.IntegerField(min_value=1, max_value=200, default=50)
    page_token = serializers.CharField(max_length=1000, default="", allow_blank=True)


class WebhookOutput(serializers.ModelSerializer[Webhook]):
    """A webhook without its secret."""

    created_by = serializers.CharField(source="created_by.username")
    ordered = serializers.BooleanField(source="is_ordered")
    circuit = serializers.CharField()

    class Meta:
        model = Webhook
        fields: tuple[str, ...] = (
            "id",
            "url",
            "description",
            "scope_type",
            "scope",
            "event_types",
            "format",
            "ordered",
            "max_in_flight",
            "status",
            "status_message",
            "circuit",
            "failing_since",
            "failures_in_a_row",
            "paused_until",
            "old_secret_until",
            "created_by",
            "created_at",
        )


class DeliveryOutput(serializers.ModelSerializer[Delivery]):
    """One event owed to a webhook; what the event says is not repeated here."""

    event_type = serializers.CharField(source="event.type")

    class Meta:
        model = Delivery
        fields: tuple[str, ...] = (
            "id",
            "webhook_id",
            "event_id",
            "event_type",
            "status",
            "created_at",
            "next_attempt_at",
            "failures",
        )


class AttemptOutput(serializers.ModelSerializer[Attempt]):
    """One POST and its answer; the signatures are left out of the headers."""

    class Meta:
        model = Attempt
        fields = (
            "number",
            "at",
            "status_code",
            "error",
            "request_headers",
            "response_head",
            "elapsed_seconds",
        )


class WebhookMadeOutput(WebhookOutput):
    """A webhook with its new secret, which is shown this once."""

    secret = serializers.CharField()

    class Meta(WebhookOutput.Meta):
        fields = (*WebhookOutput.Meta.fields, "secret")


class DeliveryDetailOutput(DeliveryOutput):
    """A delivery with its attempts."""

    attempts = AttemptOutput(many=True)

    class Meta(DeliveryOutput.Meta):
        fields = (*DeliveryOutput.Meta.fields, "attempts")


class WebhooksJson(TypedDict):
    """A page of webhooks, newest first; an empty token says that it is the last."""

    webhooks: list[WebhookOutput]
    next_page_token: str


class DeliveriesJson(TypedDict):
    """A page of deliveries, newest first; an empty token says that it is the last."""

    deliveries: list[DeliveryOutput]
    next_page_token: str


class RedeliveredJson(TypedDict):
    """How many deliveries are sent again."""

    count: int
