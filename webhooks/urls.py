"""REST of webhooks, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from webhooks import views

urlpatterns = [
    path("webhooks", views.WebhookList.as_view()),
    path("webhooks/<uuid:webhook_id>", views.WebhookDetail.as_view()),
    path("webhooks/<uuid:webhook_id>/deliveries", views.DeliveryList.as_view()),
    path("deliveries/<uuid:delivery_id>", views.DeliveryDetail.as_view()),
    path("deliveries/<uuid:delivery_id>/redeliver", views.Redelivery.as_view()),
]
