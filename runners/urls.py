"""REST of training, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from runners import pipeline_views, views

_dataset = "datasets/<str:full_name>"
_package = "packages/<str:full_name>"
_pipeline = "pipelines/<str:full_name>"
_run = "runs/<uuid:run_id>"

urlpatterns = [
    path("datasets", views.DatasetList.as_view()),
    path(_dataset, views.DatasetDetail.as_view()),
    path(f"{_dataset}/snapshots", views.SnapshotList.as_view()),
    path(f"{_dataset}/snapshots/<str:digest>", views.SnapshotDetail.as_view()),
    path("packages", views.PackageList.as_view()),
    path(_package, views.PackageDetail.as_view()),
    path(f"{_package}/versions", views.PackageVersionList.as_view()),
    path(f"{_package}/versions/<str:number>", views.PackageVersionDetail.as_view()),
    path(f"{_package}/versions/<str:number>/zip", views.PackageZip.as_view()),
    path("pipelines", pipeline_views.PipelineList.as_view()),
    path(f"{_pipeline}/preflight", pipeline_views.PipelinePreflight.as_view()),
    path(_pipeline, pipeline_views.PipelineDetail.as_view()),
    path(f"{_pipeline}/runs", views.RunList.as_view()),
    path(_run, views.RunDetail.as_view()),
    path(f"{_run}/logs", views.RunLog.as_view()),
    path(f"{_run}/results.json", views.RunResults.as_view()),
    path(f"{_run}/artifacts", views.RunArtifactList.as_view()),
    path(f"{_run}/artifacts/<path:path>", views.RunArtifact.as_view()),
    path(f"{_run}/cancel", views.RunCancel.as_view()),
]
