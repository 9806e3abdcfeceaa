"""Who loads a version: what the downloads of its bytes leave behind."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.db import connections
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from events.models import Event
from registry import services as registry
from registry.models import ModelVersion, VersionLoad
from registry.services.loads import client_kind

FILES = "/api/2.0/mlflow-artifacts/artifacts/greenlight/prod.fraud.scorer/1"
CONSUMERS = "models/prod.fraud.scorer/versions/1/consumers"
MLFLOW = "mlflow-python-client/3.17.2"
Call = Callable[..., Any]
Load = Callable[..., None]


@pytest.fixture
def load(
    version: ModelVersion, client: Client, bearer: Callable[[User], dict[str, str]]
) -> Load:
    """Download files of version 1 as a client that calls itself so."""

    def do(principal: User, *files: str, agent: str = MLFLOW) -> None:
        headers = {**bearer(principal), "User-Agent": agent}
        for file in files or ("MLmodel", "weights.json"):
            answered = client.get(f"{FILES}/{file}", headers=headers)
            assert answered.status_code == 200
            assert b"".join(answered.streaming_content)

    return do


@pytest.fixture
def reader(grantee: User, use: Callable[..., None]) -> User:
    use(grantee, Privilege.EXECUTE)
    return grantee


def reads() -> int:
    return Event.objects.filter(type="model_version.read").count()


def test_a_load_counts_once_whatever_the_order_of_its_files(
    load: Load, owner: User, reader: User
) -> None:
    load(owner)
    load(owner, "weights.json", "MLmodel")
    load(reader, "weights.json", "MLmodel")
    counts = dict(VersionLoad.objects.values_list("principal__username", "count"))
    assert counts == {"owner": 2, "grantee": 1}


def test_who_takes_single_files_is_seen_too(load: Load, reader: User) -> None:
    load(reader, "weights.json", agent="curl/8")
    [row] = VersionLoad.objects.all()
    assert (row.count, row.client) == (0, "other")
    assert reads() == 1


def test_one_event_per_principal_and_day(
    load: Load, owner: User, reader: User, version: ModelVersion
) -> None:
    with time_machine.travel("2026-03-01T08:00:00Z", tick=False) as clock:
        for _ in range(3):
            load(owner)
            load(owner, agent="curl/8")
            clock.shift(dt.timedelta(hours=5))
        assert reads() == 1
        load(reader)
        clock.shift(dt.timedelta(days=1))
        load(owner)
    told = Event.objects.filter(type="model_version.read").order_by("sequence")
    assert [event.actor_name for event in told] == ["owner", "grantee", "owner"]
    assert told[0].subject_id == version.pk
    assert told[0].data["digest"] == version.digest
    assert VersionLoad.objects.filter(principal=owner).count() == 7


def test_refused_and_missing_files_leave_nothing(
    load: Load,
    owner: User,
    grantee: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
    use: Callable[..., None],
) -> None:
    use(grantee)
    refused = client.get(f"{FILES}/MLmodel", headers=bearer(grantee))
    missing = client.get(f"{FILES}/nothing", headers=bearer(owner))
    assert (refused.status_code, missing.status_code) == (403, 404)
    assert not VersionLoad.objects.exists()


def test_metadata_is_read_without_a_trace(
    version: ModelVersion,
    owner: User,
    client: Client,
    bearer: Callable[[User], dict[str, str]],
) -> None:
    query = "name=prod.fraud.scorer&version=1"
    for rpc in ("get", "get-download-uri"):
        url = f"/api/2.0/mlflow/model-versions/{rpc}?{query}"
        assert client.get(url, headers=bearer(owner)).status_code == 200
    assert not VersionLoad.objects.exists()


def test_later_loads_of_an_hour_cost_one_statement_each(
    version: ModelVersion, owner: User, django_assert_num_queries: Any
) -> None:
    registry.record_load(version, "MLmodel", principal=owner)
    for file in ("MLmodel", "weights.json"):
        with django_assert_num_queries(2):  # the leaf of the audit log, and the count
            registry.record_load(version, file, principal=owner)


@pytest.mark.django_db(transaction=True)
def test_first_loads_at_the_same_moment_make_one_row_and_one_event(
    version: ModelVersion, owner: User
) -> None:
    barrier, done = threading.Barrier(4), []

    def record() -> None:
        barrier.wait()
        try:
            registry.record_load(version, "MLmodel", principal=owner)
            done.append(True)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert sum(VersionLoad.objects.values_list("count", flat=True)) == 4
    assert reads() == 1


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        (MLFLOW, "mlflow"),
        ("unknown/0.0.0 databricks-sdk-py/0.156.0 python/3.11", "databricks"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "browser"),
        ("curl/8.5.0", "other"),
        ("", "other"),
    ],
)
def test_kind_of_client(agent: str, kind: str) -> None:
    assert client_kind(agent) == kind


def test_owner_lists_the_consumers_since_a_date(
    load: Load, owner: User, reader: User, call: Call
) -> None:
    with time_machine.travel("2026-03-01T08:10:00Z", tick=False):
        load(reader)
        load(reader)
    with time_machine.travel("2026-03-02T08:10:00Z", tick=False):
        load(owner, agent="curl/8")
    consumers = call(owner, "get", CONSUMERS).json()["consumers"]
    assert consumers == [
        {
            "principal": "owner",
            "client": "other",
            "loads": 1,
            "first_at": "2026-03-02T08:10:00Z",
            "last_at": "2026-03-02T08:10:00Z",
        },
        {
            "principal": "grantee",
            "client": "mlflow",
            "loads": 2,
            "first_at": "2026-03-01T08:10:00Z",
            "last_at": "2026-03-01T08:10:00Z",
        },
    ]
    late = call(owner, "get", f"{CONSUMERS}?since=2026-03-02T00:00:00Z").json()
    assert late["consumers"] == consumers[:1]
    wrong = call(owner, "get", f"{CONSUMERS}?since=lately")
    assert wrong.status_code == 400
    assert "since" in wrong.json()["message"]


def test_reader_is_not_told_who_else_reads_but_a_manager_is(
    version: ModelVersion, owner: User, reader: User, stranger: User, call: Call
) -> None:
    refused = call(reader, "get", CONSUMERS)
    assert refused.status_code == 403
    assert refused.json()["details"]["reasons"][0]["missing"] == "ownership"
    assert call(stranger, "get", CONSUMERS).status_code == 404
    access.grant(version.model, Privilege.MANAGE, reader, principal=owner)
    assert call(reader, "get", CONSUMERS).status_code == 200


def test_auditor_lists_the_consumers_of_everything(
    load: Load, owner: User, stranger: User, call: Call
) -> None:
    load(owner)
    User.objects.filter(pk=stranger.pk).update(is_auditor=True)
    [consumer] = call(stranger, "get", CONSUMERS).json()["consumers"]
    assert consumer["principal"] == "owner"
