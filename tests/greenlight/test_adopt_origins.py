"""`manage.py adopt`, from a server, from the unreadable, and after it was killed."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection
from mlflow import MlflowClient

from access.models import User
from events.models import Event
from events.verification import verify_chain
from registry import artifacts
from registry.models import (
    Alias,
    ModelVersion,
)
from tests.greenlight.conftest import Adopt, lines
from tests.mlflow_sources import server, write_model


@pytest.mark.parametrize("revision", ["451aebb31d03", "from the future"])
def test_another_schema_of_mlflow_says_what_to_upgrade(
    adopt: Adopt, source: Path, tmp_path: Path, revision: str
) -> None:
    path = tmp_path / "other.db"
    path.write_bytes((source / "mlflow.db").read_bytes())
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", [revision])
    database.close()
    what = "newer MLflow" if " " in revision else "run `mlflow db upgrade`"
    with pytest.raises(CommandError, match=what):
        adopt(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        ("sqlite:////nowhere/mlflow.db", "There is no database"),
        ("mysql://host/mlflow", "neither sqlite"),
        ("postgresql://nobody@127.0.0.1:1/x", "cannot be read"),
        ("http://user:secret@127.0.0.1:1", "MLFLOW_TRACKING_PASSWORD"),
    ],
)
def test_origin_that_cannot_be_read(adopt: Adopt, origin: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        adopt(origin)


def test_several_admins_must_say_who_they_are(adopt: Adopt, url: str) -> None:
    User.objects.create_superuser("second")
    with pytest.raises(CommandError, match="--admin"):
        adopt(url)


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
def test_killed_at_any_point_it_goes_on_to_the_same_end(
    adopt: Adopt, url: str, mapping: str, tmp_path: Path
) -> None:
    arguments = (url, "--map", mapping, "--unreadable", "fail")
    for run in range(60):
        if _dies_after(55 + run % 7, lambda: adopt(*arguments)):
            continue
        break
    assert 3 < run < 59
    assert lines(adopt(*arguments), "taken over") == []
    statuses = ModelVersion.objects.order_by("model__full_name", "number")
    assert list(statuses.values_list("number", "status")) == [
        (1, "ready"),
        (2, "failed"),
        (1, "ready"),
        (3, "ready"),
        (1, "ready"),
    ]
    for version in ModelVersion.objects.filter(status="ready"):
        assert artifacts.verify(version) == []
    assert Alias.objects.count() == 2
    kinds = list(Event.objects.values_list("type", flat=True))
    assert kinds.count("model_version.adopted") == 5
    assert not list(verify_chain())


_inherited: list[Any] = []


def _dies_after(steps: int, work: Callable[[], Any]) -> bool:
    """Do the work in a child that gets SIGKILL at a statement or file operation."""
    child = os.fork()
    if child == 0:
        _inherited.append(connection.connection)  # the parent's; never close it
        connection.connection = None
        left = steps

        def tick(event: str = "sql", arguments: Any = ()) -> None:
            nonlocal left
            if event in {"sql", "os.rename", "os.mkdir", "os.chmod", "shutil.rmtree"}:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        def counted(execute: Any, *parameters: Any) -> Any:
            tick()
            return execute(*parameters)

        sys.addaudithook(tick)
        with connection.execute_wrapper(counted):
            work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_server_is_read_with_the_stock_client(
    adopt: Adopt, source: Path, tmp_path: Path, mapping: str
) -> None:
    root = tmp_path / "server"
    root.mkdir()
    (root / "mlflow.db").write_bytes((source / "mlflow.db").read_bytes())
    with server(root, _free_port()) as address:
        _register_by_server(address, root)
        report = adopt(address, "--map", mapping, "--unreadable", "skip")
    assert report["exit_code"] == 0
    # its own directories are the server's business, its artifact store is ours
    assert lines(report, "taken over") == [
        "prod.fraud.scorer",
        "prod.sales.churn",
        "prod.sales.greeting",
        "prod.sales.greeting/1",
        "prod.sales.served",
        "prod.sales.served/1",
        "prod.sales.served@Champion",
    ]
    version = ModelVersion.objects.get(model__name="served")
    assert artifacts.verify(version) == []
    assert version.lineage["adopted_from"] == address
    assert not list((tmp_path / "adoption").iterdir())


def _register_by_server(address: str, root: Path) -> None:
    client = MlflowClient(address, address)
    run = client.create_run(client.create_experiment("served")).info
    client.log_artifacts(run.run_id, str(write_model(root / "model", "7")), "model")
    client.create_registered_model("served")
    client.create_model_version("served", f"{run.artifact_uri}/model", run.run_id)
    client.set_registered_model_alias("served", "Champion", "1")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
