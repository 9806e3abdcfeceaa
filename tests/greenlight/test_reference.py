"""The generated pages of docs/reference: up to date, and about everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command

from access.operations import OPERATIONS
from access.privileges import Privilege
from events.types import EventType
from greenlight import reference
from greenlight.reference import events, mlflow


@pytest.mark.parametrize("name", reference.PAGES)
def test_page_is_up_to_date(name: str) -> None:
    committed = (reference.DIRECTORY / name).read_text()
    assert committed == reference.made(name), "run manage.py make-docs"


def test_every_privilege_operation_and_event_has_a_row() -> None:
    rows = [
        ("privileges.md", f"| **{privilege.label}** |")
        for privilege in Privilege
        if privilege != Privilege.OWN
    ]
    rows += [("operations.md", f"| `{operation.name}` |") for operation in OPERATIONS]
    rows += [("events.md", f"| `{event_type.value}` |") for event_type in EventType]
    pages = {name: reference.made(name) for name in {name for name, _ in rows}}
    assert [row for name, row in rows if row not in pages[name]] == []


def test_data_of_an_event_is_what_its_calls_give() -> None:
    assert events.emitted_data()["ALIAS_SET"] == [
        "alias",
        "digest",
        "generation",
        "previous",
        "version",
        "version_id",
    ]


@pytest.mark.parametrize(
    ("method", "path", "word", "note"),
    [
        ("GET", "/2.0/mlflow/registered-models/get", "served", "to see the model"),
        ("GET", "/2.0/mlflow/runs/get", "served", "READ of the experiment of the run"),
        ("PUT", "/2.0/mlflow-artifacts/artifacts/{artifact_path}", "served", "EXECUTE"),
        ("DELETE", "/2.0/mlflow-artifacts/artifacts/{artifact_path}", "denied", ""),
        ("POST", "/2.0/mlflow/registered-models/alias", "mapped", "ownership"),
        ("POST", "/2.0/mlflow/gateway-proxy", "denied", ""),
        ("GET", "/2.0/mlflow/gateway-proxy", "mapped", "a constant"),
        ("POST", "/2.0/mlflow-artifacts/mpu/create/{artifact_path}", "mapped", "PUT"),
        ("POST", "/graphql", "denied", ""),
    ],
)
def test_what_becomes_of_a_route(method: str, path: str, word: str, note: str) -> None:
    answered = mlflow.answer_of(method, path)
    assert answered.word == word
    assert note in answered.note


def test_check_says_what_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("greenlight.management.commands.make_docs.DIRECTORY", tmp_path)
    monkeypatch.setattr(
        "greenlight.management.commands.make_docs.PAGES",
        {"privileges.md": reference.PAGES["privileges.md"]},
    )
    with pytest.raises(SystemExit):
        call_command("make_docs", check=True)
    assert "privileges.md is out of date" in capsys.readouterr().out
    call_command("make_docs")
    assert (tmp_path / "privileges.md").read_text() == reference.made("privileges.md")
    call_command("make_docs", check=True)
