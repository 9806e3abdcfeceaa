"""Experiments: the list, and one with its runs; MLflow's own pages show the rest."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from mlflow.entities import Run as MlflowRun

from access.conditions import detailed_among
from console.lists import PAGE_SIZE
from console.pages import SignedInRequest, page, visible_or_404
from registry import experiments as tracking
from registry.models import Experiment

_METRICS = 3


@page
def experiments(request: SignedInRequest) -> HttpResponse:
    """Show the experiments that the person sees, by name."""
    rows = Experiment.objects.visible(request.user).select_related(
        "owner", "schema__catalog"
    )
    within = request.GET.get("schema", "").strip()
    if within:
        rows = rows.filter(name__startswith=f"{within}.", schema__isnull=False)
    rows = rows.filter(name__gt=request.GET.get("after", "")).order_by("name")
    found = list(rows[: PAGE_SIZE + 1])
    ids = [row.pk for row in found]
    context = {
        "experiments": found[:PAGE_SIZE],
        "within": within,
        "after": found[PAGE_SIZE - 1].name if len(found) > PAGE_SIZE else "",
        "detailed": detailed_among(request.user, Experiment, ids),
    }
    return render(request, "console/experiments.html", context)


@page
def experiment(request: SignedInRequest, experiment_id: UUID) -> HttpResponse:
    """Show one experiment, and its newest runs to who may read it."""
    rows = Experiment.objects.select_related(
        "owner", "schema__owner", "schema__catalog__owner"
    )
    found = visible_or_404(rows, request, pk=experiment_id)
    readable = tracking.readable_experiments(
        [found.experiment_id], principal=request.user
    )
    if not readable:
        return render(request, "console/browsed.html", {"object": found})
    runs, token = tracking.newest_runs(
        found, request.GET.get("page_token", ""), PAGE_SIZE, principal=request.user
    )
    context = {
        "experiment": found,
        "runs": [_shown(run) for run in runs],
        "token": token,
    }
    return render(request, "console/experiment.html", context)


def _shown(run: MlflowRun) -> dict[str, Any]:
    metrics = sorted(run.data.metrics.items())
    return {
        "info": run.info,
        "started_at": dt.datetime.fromtimestamp(run.info.start_time / 1000, dt.UTC),
        "metrics": metrics[:_METRICS],
        "more": metrics[_METRICS:],
    }
