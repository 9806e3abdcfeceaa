"""What training adds to the lineage of versions (see registry.lineage)."""

from __future__ import annotations

from registry.lineage import Graph, mlflow_run, node_id
from registry.models import ModelVersion
from runners import services
from runners.models import Dataset, Run


def add(graph: Graph) -> None:
    """Add the run of each version, its snapshot and its package."""
    trained = {
        version.pipeline_run_id: version
        for version in graph.versions.values()
        if version.pipeline_run_id
    }
    runs = Run.objects.select_related(
        "pipeline", "snapshot__dataset", "package_version__package"
    )
    seen = services.visible_runs(graph.principal).filter(pk__in=trained)
    visible = set(seen.order_by().values_list("pk", flat=True))
    for run in runs.filter(pk__in=trained).order_by("created_at"):
        if run.pk in visible:
            _add_run(graph, run, trained[run.pk])
        else:
            hidden = graph.add_hidden("run", run.pk)
            graph.link(hidden, node_id("version", trained[run.pk].pk), "trained")


def _add_run(graph: Graph, run: Run, version: ModelVersion) -> None:
    added = graph.add(
        "run",
        run.pk,
        run.full_name,
        pipeline=run.pipeline.full_name,
        status=run.status,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )
    graph.link(_snapshot(graph, run), added, "read by")
    graph.link(_package(graph, run), added, "run as")
    if version.mlflow_run_id:
        graph.link(added, mlflow_run(graph, version.mlflow_run_id), "logged as")
    else:
        graph.link(added, node_id("version", version.pk), "trained")


def _snapshot(graph: Graph, run: Run) -> str:
    snapshot = run.snapshot
    datasets = Dataset.objects.detailed(graph.principal)
    if not datasets.filter(pk=snapshot.dataset_id).exists():
        return graph.add_hidden("snapshot", snapshot.pk)
    return graph.add(
        "snapshot",
        snapshot.pk,
        snapshot.full_name,
        dataset=snapshot.dataset.full_name,
        digest=snapshot.digest,
        files=snapshot.files,
        folder=run.folder,
    )


def _package(graph: Graph, run: Run) -> str:
    package_version = run.package_version
    packages = services.visible_packages(graph.principal)
    if not packages.filter(pk=package_version.package_id).exists():
        return graph.add_hidden("package_version", package_version.pk)
    return graph.add(
        "package_version",
        package_version.pk,
        package_version.full_name,
        digest=package_version.digest,
    )
