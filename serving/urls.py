"""REST of serving, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from serving import views

urlpatterns = [
    path("endpoints", views.EndpointList.as_view()),
    path("endpoints/<str:full_name>", views.EndpointDetail.as_view()),
    path("endpoints/<str:full_name>/rollback", views.EndpointRollback.as_view()),
    path("rollouts/<uuid:rollout_id>", views.RolloutDetail.as_view()),
    path("rollouts/<uuid:rollout_id>/<str:command>", views.RolloutCommand.as_view()),
    path("serving-token", views.ServingToken.as_view()),
]
