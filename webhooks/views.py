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
from webhooks.models import Delivery
from webhooks.serializers import (
    AttemptOutput,
    DeliveriesJson,
    DeliveryDetailOutput,
    DeliveryOutput,
    PageInput,
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
            **data,
            principal=caller(request),
        )
        body = {**WebhookOutput(webhook).data, "secret": webhook.secret_text}
        return Response(body, status=201)


class WebhookDetail(APIView):
    """Show a webhook; stop it for good."""

    @operation("Show a webhook.", answer=WebhookOutput)
    def get(self, request: Request, webhook_id: UUID) -> Response:
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        return Response(WebhookOutput(webhook).data)

    @operation("Stop a webhook for good.", status=204)
    def delete(self, request: Request, webhook_id: UUID) -> Response:
        webhook = services.get_webhook(webhook_id, principal=caller(request))
        services.disable_webhook(webhook, principal=caller(request))
        return Response(status=204)


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
