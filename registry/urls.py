"""REST of the registry, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from registry import container_views, views

_MODEL = "models/<str:full_name>"
_VERSION = f"{_MODEL}/versions/<int:number>"

urlpatterns = [
    path("catalogs", container_views.CatalogList.as_view()),
    path("catalogs/<str:name>", container_views.CatalogDetail.as_view()),
    path("schemas", container_views.SchemaList.as_view()),
    path("schemas/<str:full_name>", container_views.SchemaDetail.as_view()),
    path("models", views.ModelList.as_view()),
    path(_MODEL, views.ModelDetail.as_view()),
    path(f"{_MODEL}/rename", views.ModelRename.as_view()),
    path(f"{_MODEL}/tags", views.ModelTags.as_view()),
    path(f"{_MODEL}/tags/<path:key>", views.ModelTag.as_view()),
    path(f"{_MODEL}/versions", views.VersionList.as_view()),
    path(_VERSION, views.VersionDetail.as_view()),
    path(f"{_VERSION}/consumers", views.VersionConsumers.as_view()),
    path(f"{_VERSION}/lineage", views.VersionLineage.as_view()),
    path(f"{_VERSION}/tags", views.VersionTags.as_view()),
    path(f"{_VERSION}/tags/<path:key>", views.VersionTag.as_view()),
]
