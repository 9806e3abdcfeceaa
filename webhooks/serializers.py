"""Shapes of webhooks, deliveries and attempts on the wire."""

from __future__ import annotations

from typing import TypedDict

from rest_framework import serializers

from core.serializers import InputSerializer
from webhooks.models import Attempt, Delivery, ScopeType, Webhook


class WebhookInput(InputSerializer):
    """What a new webhook is made of."""

    url = serializers.CharField(max_length=2000)
    event_types = serializers.ListField(
        child=serializers.RegexField(r"^[a-z_.*?]{1,64}$"), min_length=1, max_length=50
    )
    scope_type = serializers.ChoiceField(
        choices=ScopeType.choices, default=ScopeType.INSTALLATION
    )
    scope = serializers.CharField(max_length=767, default="", allow_blank=True)
    description = serializers.CharField(max_length=500, default="", allow_blank=True)


class PageInput(InputSerializer):
    """Which page of a listing."""

    max_results = serializers.IntegerField(min_value=1, max_value=200, default=50)
    page_token = serializers.CharField(max_length=1000, default="", allow_blank=True)


class WebhookOutput(serializers.ModelSerializer[Webhook]):
    """A webhook without its secret."""

    created_by = serializers.CharField(source="created_by.username")

    class Meta:
        model = Webhook
        fields: tuple[str, ...] = (
            "id",
            "url",
            "description",
            "scope_type",
            "scope",
            "event_types",
            "status",
            "status_message",
            "failing_since",
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
    """One POST and its answer."""

    class Meta:
        model = Attempt
        fields = (
            "number",
            "at",
            "status_code",
            "error",
            "response_head",
            "elapsed_seconds",
        )


class WebhookMadeOutput(WebhookOutput):
    """A new webhook with its secret, which is shown this once."""

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
