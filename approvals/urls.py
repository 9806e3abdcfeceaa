"""REST of approvals, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from approvals import alias_views, policy_views, thread_views, views

_REQUEST = "approvals/<uuid:request_id>"
_ALIASES = "models/<str:full_name>/aliases"

urlpatterns = [
    path("policies", policy_views.PolicyList.as_view()),
    path("policies/simulate", policy_views.Simulation.as_view()),
    path("policies/<uuid:policy_id>", policy_views.PolicyDetail.as_view()),
    path("policies/<uuid:policy_id>/retire", policy_views.Retirement.as_view()),
    path("approvals", views.ApprovalList.as_view()),
    path(_REQUEST, views.ApprovalDetail.as_view()),
    path(f"{_REQUEST}/decisions", views.DecisionList.as_view()),
    path(f"{_REQUEST}/decisions/<uuid:decision_id>", views.DecisionDetail.as_view()),
    path(f"{_REQUEST}/rollout-plan", views.RolloutPlan.as_view()),
    path(f"{_REQUEST}/comments", thread_views.CommentList.as_view()),
    path(f"{_REQUEST}/timeline", thread_views.Timeline.as_view()),
    path("delegations", thread_views.DelegationList.as_view()),
    path("delegations/<uuid:delegation_id>", thread_views.DelegationDetail.as_view()),
    path(f"{_REQUEST}/checks", views.CheckList.as_view()),
    path(f"{_REQUEST}/cancel", views.Cancellation.as_view()),
    path(_ALIASES, alias_views.AliasList.as_view()),
    path(f"{_ALIASES}/<str:alias>", alias_views.AliasDetail.as_view()),
    path(f"{_ALIASES}/<str:alias>/history", alias_views.AliasHistory.as_view()),
    path(f"{_ALIASES}/<str:alias>/break-glass", alias_views.BreakGlass.as_view()),
    path("callbacks/<str:token>", views.CallbackAnswer.as_view()),
]
