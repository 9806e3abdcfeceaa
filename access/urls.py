"""REST of access, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from access import audit_views as audit
from access import permission_views as permissions
from access import views

_REQUEST = "access-requests/<uuid:request_id>"

urlpatterns = [
    path("users", views.UserList.as_view()),
    path("users/<str:name>", views.UserDetail.as_view()),
    path("service-principals", views.ServicePrincipalList.as_view()),
    path("groups", views.GroupList.as_view()),
    path("groups/<str:name>/members", views.MemberList.as_view()),
    path("groups/<str:name>/members/<str:member>", views.MemberDetail.as_view()),
    path("tokens", views.TokenList.as_view()),
    path("tokens/by-password", views.TokenByPassword.as_view()),
    path("tokens/<uuid:token_id>", views.TokenDetail.as_view()),
    path("permissions/explain", permissions.Explain.as_view()),
    path("permissions/simulate", permissions.Simulate.as_view()),
    path("permissions/who-could", permissions.WhoCould.as_view()),
    # paths: names of experiments may hold slashes
    path(
        "permissions/<str:securable_type>/<path:full_name>",
        permissions.Permissions.as_view(),
    ),
    path(
        "ownership/<str:securable_type>/<path:full_name>",
        permissions.Owner.as_view(),
    ),
    path("events", audit.EventList.as_view()),
    path("events/export", audit.EventExport.as_view()),
    path(
        "timeline/<str:securable_type>/<path:full_name>", audit.ObjectTimeline.as_view()
    ),
    path("access-requests", permissions.AccessRequestList.as_view()),
    path(f"{_REQUEST}/grant", permissions.AccessRequestGrant.as_view()),
    path(f"{_REQUEST}/decline", permissions.AccessRequestDecline.as_view()),
    path(f"{_REQUEST}/withdraw", permissions.AccessRequestWithdraw.as_view()),
]
