"""Datasets: the list, one with its snapshots, and the files of a snapshot."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime

from access.authz import is_allowed, is_browse_only, require
from access.conditions import detailed_among
from access.privileges import Privilege
from console.lists import PAGE_SIZE, page_by_name
from console.pages import SignedInRequest, page
from core.errors import unseen
from runners import services as runners
from runners.models import Dataset, Pipeline


@page
def datasets(request: SignedInRequest) -> HttpResponse:
    """Show the datasets that the person sees."""
    shown = page_by_name(runners.visible_datasets(request.user), request)
    ids = [row.pk for row in shown["rows"]]
    context = {**shown, "detailed": detailed_among(request.user, Dataset, ids)}
    return render(request, "console/datasets.html", context)


@page
def dataset(request: SignedInRequest, full_name: str) -> HttpResponse:
    """Show one dataset: its snapshots, newest first, and what trains on it."""
    found = _dataset(request, full_name)
    if is_browse_only(request.user, found):
        return render(request, "console/browsed.html", {"object": found})
    rows = found.snapshots.select_related("created_by").order_by("-created_at")
    before = parse_datetime(request.GET.get("before", "").replace(" ", "+"))
    if before:
        rows = rows.filter(created_at__lt=before)
    snapshots = list(rows[: PAGE_SIZE + 1])
    trained = Pipeline.objects.detailed(request.user).filter(dataset=found)
    context = {
        "dataset": found,
        "snapshots": snapshots[:PAGE_SIZE],
        "has_more": len(snapshots) > PAGE_SIZE,
        "may_read": is_allowed(request.user, Privilege.READ_DATASET, found),
        "pipelines": trained.order_by("full_name")[:PAGE_SIZE],
    }
    return render(request, "console/dataset.html", context)


@page
def snapshot(request: SignedInRequest, full_name: str, digest: str) -> HttpResponse:
    """Show the files of a snapshot; they are for who may read the dataset."""
    found = _dataset(request, full_name)
    require(request.user, Privilege.READ_DATASET, found)
    row = runners.get_snapshot(found, digest)
    # the partial of a version's files reads what a snapshot has, too
    context = {"dataset": found, "snapshot": row, "version": row}
    return render(request, "console/snapshot.html", context)


def _dataset(request: SignedInRequest, full_name: str) -> Dataset:
    rows = runners.visible_datasets(request.user)
    found = rows.filter(full_name=full_name).first()
    if found is None:
        raise unseen("dataset", full_name)
    return found
