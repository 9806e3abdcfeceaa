"""REST of webhooks, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from webhooks import views

_WEBHOOK = "webhooks/<uuid:webhook_id>"

urlpatterns = [
    path("webhooks", views.WebhookList.as_view()),
    path(_WEBHOOK, views.WebhookDetail.as_view()),
    path(f"{_WEBHOOK}/disable", views.Disabling.as_view()),
    path(f"{_WEBHOOK}/enable", views.Enabling.as_view()),
    path(f"{_WEBHOOK}/secret", views.Rotation.as_view()),
    path(f"{_WEBHOOK}/ping", views.Ping.as_view()),
    path(f"{_WEBHOOK}/redeliver", views.RedeliveryOfFailed.as_view()),
    path(f"{_WEBHOOK}/deliveries", views.DeliveryList.as_view()),
    path("deliveries/<uuid:delivery_id>", views.DeliveryDetail.as_view()),
    path("deliveries/<uuid:delivery_id>/redeliver", views.Redelivery.as_view()),
]
