"""REST of webhooks and their log."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.authentication import caller
from core.http import read_page_token, sign_page_token
from core.openapi import operation
from webhooks import scopes, services
from webhooks.models import Delivery, Webhook
from webhooks.serializers import (
    AttemptOutput,
    DeliveriesJson,
    DeliveryDetailOutput,
    DeliveryOutput,
    PageInput,
    RedeliveredJson,
    RotationInput,
    SinceInput,
    WebhookChangesInput,
    WebhookInput,
    WebhookMadeOutput,
    WebhookOutput,
    WebhooksJson,
)


class WebhookList(APIView):
    """List the webhooks that one manages; create one, its secret shown once."""

    @operation(
        "List the webhooks that you manage.", query=PageInput, answer=WebhooksJson
    )
    def get(self, request: Request) -> Response:
        rows = scopes.managed(caller(request)).select_related("created_by")
        page, token = _page(rows, request, "webhooks")
        webhooks = WebhookOutput(page, many=True).data
        return Response({"webhooks": webhooks, "next_page_token": token})

    @operation(
        "Create a webhook; its secret is in this answer only.",
        body=WebhookInput,
        answer=WebhookMadeOutput,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = WebhookInput.read(request.data)
        webhook = services.create_webhook(
            data.pop("url"),
            data.pop("event_types"),
            body_format=data.pop("format"),
            is_ordered=data.pop("ordered"),
            **data,
            principal=caller(request),
        )
        return Response(_with_secret(webhook), status=201)


class WebhookDetail(APIView):
    """Show a webhook; change it; delete it."""

    @operation("Show a webhook.", answer=WebhookOutput)
    def get(self, request: Request, webhook_id: UUID) -> Response:
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        return Response(WebhookOutput(webhook).data)

    @operation(
        "Change where a webhook goes, or what it tells; what is not given stays.",
        body=WebhookChangesInput,
        answer=WebhookOutput,
    )
    def patch(self, request: Request, webhook_id: UUID) -> Response:
        changes = WebhookChangesInput.read(request.data)
        if "ordered" in changes:
            changes["is_ordered"] = changes.pop("ordered")
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        services.update_webhook(webhook, changes, principal=caller(request))
        return Response(WebhookOutput(webhook).data)

    @operation("Delete a webhook; what it was owed is not sent.", status=204)
    def delete(self, request: Request, webhook_id: UUID) -> Response:
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        services.delete_webhook(webhook, principal=caller(request))
        return Response(status=204)


class Disabling(APIView):
    """Stop a webhook."""

    @operation(
        "Stop a webhook; what it is owed waits until it is enabled again.",
        answer=WebhookOutput,
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        services.disable_webhook(webhook, principal=caller(request))
        return Response(WebhookOutput(webhook).data)


class Enabling(APIView):
    """Let a webhook go on that was stopped."""

    @operation("Let a webhook that was stopped go on.", answer=WebhookOutput)
    def post(self, request: Request, webhook_id: UUID) -> Response:
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        services.enable_webhook(webhook, principal=caller(request))
        return Response(WebhookOutput(webhook).data)


class Rotation(APIView):
    """Give a webhook a new secret; end the old one."""

    @operation(
        "Give a webhook a new secret, which is in this answer only; the one before "
        "signs too, for a day unless you say otherwise.",
        body=RotationInput,
        answer=WebhookMadeOutput,
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        wanted = RotationInput.read(request.data)
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        services.rotate_secret(
            webhook,
            overlap=dt.timedelta(seconds=wanted["overlap_seconds"]),
            secret=wanted["secret"],
            principal=caller(request),
        )
        return Response(_with_secret(webhook))

    @operation("End the old secret of a webhook at once.", answer=WebhookOutput)
    def delete(self, request: Request, webhook_id: UUID) -> Response:
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        services.expire_secret(webhook, principal=caller(request))
        return Response(WebhookOutput(webhook).data)


class Ping(APIView):
    """Try a webhook."""

    @operation(
        "Send a webhook the event `webhook.pinged`, which no other one gets.",
        answer=DeliveryOutput,
        status=202,
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        delivery = services.ping_webhook(webhook, principal=caller(request))
        return Response(DeliveryOutput(delivery).data, status=202)


class RedeliveryOfFailed(APIView):
    """Send again what was given up."""

    @operation(
        "Send again all that was given up of what a webhook is owed since a moment.",
        body=SinceInput,
        answer=RedeliveredJson,
        status=202,
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        since = SinceInput.read(request.data)["since"]
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        count = services.redeliver_failed(webhook, since, principal=caller(request))
        return Response({"count": count}, status=202)


class DeliveryList(APIView):
    """The deliveries of a webhook, newest first."""

    @operation(
        "List the deliveries of a webhook, newest first.",
        query=PageInput,
        answer=DeliveriesJson,
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        rows = webhook.deliveries.select_related("event")
        page, token = _page(rows, request, f"deliveries:{webhook_id}")
        deliveries = DeliveryOutput(page, many=True).data
        return Response({"deliveries": deliveries, "next_page_token": token})


class DeliveryDetail(APIView):
    """A delivery with its attempts."""

    @operation("Show a delivery with its attempts.", answer=DeliveryDetailOutput)
    def get(self, request: Request, delivery_id: UUID) -> Response:
        delivery = services.get_delivery(delivery_id, principal=caller(request))
        return Response(_with_attempts(delivery))


class Redelivery(APIView):
    """Send the event of a delivery again, under the same id."""

    @operation(
        "Send the event of a delivery again, under the same id.",
        answer=DeliveryDetailOutput,
        status=202,
    )
    def post(self, request: Request, delivery_id: UUID) -> Response:
        delivery = services.get_delivery(delivery_id, principal=caller(request))
        services.redeliver(delivery, principal=caller(request))
        return Response(_with_attempts(delivery), status=202)


def _with_secret(webhook: Webhook) -> dict[str, Any]:
    return {**WebhookOutput(webhook).data, "secret": webhook.secret_text}


def _with_attempts(delivery: Delivery) -> dict[str, Any]:
    attempts = AttemptOutput(delivery.attempts.all(), many=True).data
    return {**DeliveryOutput(delivery).data, "attempts": attempts}


def _page(rows: QuerySet[Any], request: Request, purpose: str) -> tuple[list[Any], str]:
    """Return one page, newest first, and the token of the next or ""."""
    wanted = PageInput.read(request.query_params)
    size = wanted["max_results"]
    if token := wanted["page_token"]:
        created_at, pk = read_page_token(token, purpose=purpose)
        last = dt.datetime.fromisoformat(created_at)
        rows = rows.filter(Q(created_at__lt=last) | Q(created_at=last, pk__lt=pk))
    page = list(rows.order_by("-created_at", "-pk")[: size + 1])
    if len(page) <= size:
        return page, ""
    end = page[size - 1]
    key = [end.created_at.isoformat(), str(end.pk)]
    return page[:size], sign_page_token(key, purpose=purpose)
