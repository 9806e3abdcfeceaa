"""The audit log by REST: what one may see, in pages, as timelines and as copies."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from access import services as access
from access.models import User
from access.privileges import Privilege
from events.files import write_whole
from events.models import Event
from registry import services as registry
from registry.models import RegisteredModel
from tests.factories import UserFactory

Call = Callable[..., Any]


@pytest.fixture
def auditor(db: None) -> User:
    return UserFactory(username="auditor", is_auditor=True)


def listed(answer: Any) -> list[str]:
    return [event["type"] for event in answer.json()["events"]]


def export(client: Client, person: User, query: str) -> str:
    token = access.issue_token(person, "t", principal=person)
    answer = client.get(
        f"/api/v1/events/export?{query}", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]


def test_who_sees_what(
    model: RegisteredModel, auditor: User, owner: User, stranger: User, call: Call
) -> None:
    asked = "events?type=registered_model.*"
    assert listed(call(auditor, "get", asked)) == ["registered_model.created"]
    assert listed(call(owner, "get", asked)) == ["registered_model.created"]
    assert listed(call(stranger, "get", asked)) == []


def test_from_where_others_came_is_for_auditors(
    model: RegisteredModel, auditor: User, owner: User, grantee: User, call: Call
) -> None:
    call(owner, "patch", "models/prod.fraud.scorer", {"comment": "new"})
    asked = "events?type=registered_model.updated"
    seen = [
        call(person, "get", asked).json()["events"][0]["credential"]
        for person in (auditor, owner)
    ]
    assert all(text.startswith("token:") for text in seen)


def test_pages_follow_each_other(
    model: RegisteredModel, auditor: User, call: Call
) -> None:
    whole = call(auditor, "get", "events").json()["events"]
    got, token = [], ""
    for _ in range(len(whole) + 2):
        page = call(
            auditor, "get", f"events?max_results=1&page_token={token}&until={NOW}"
        ).json()
        got += page["events"]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert {e["sequence"] for e in whole} <= {e["sequence"] for e in got}


NOW = "2999-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("type=nonsense", "type"),
        ("outcome=maybe", "outcome"),
        ("since=yesterday", "since"),
        ("page_token=x", "page_token"),
        ("colour=red", "colour"),
    ],
)
def test_bad_questions_are_refused_by_name(
    auditor: User, call: Call, query: str, words: str
) -> None:
    answer = call(auditor, "get", f"events?{query}")
    assert answer.status_code == 400
    assert words in answer.json()["message"]


def test_a_copy_has_every_event_whole_and_in_order(
    model: RegisteredModel, auditor: User, client: Client
) -> None:
    lines = [json.loads(x) for x in export(client, auditor, "").splitlines()]
    told = list(Event.objects.values_list("sequence", "hash"))
    assert [(line["sequence"], line["hash"]) for line in lines] == told
    assert lines[-1]["type"] == "audit.exported"


def test_a_copy_goes_on_after_its_cursor(
    model: RegisteredModel, auditor: User, client: Client
) -> None:
    first = export(client, auditor, "").splitlines()
    last = json.loads(first[-1])["sequence"]
    more = export(client, auditor, f"after={last}").splitlines()
    assert json.loads(more[0])["sequence"] == last + 1


def test_a_stranger_takes_a_copy_of_what_it_sees(
    model: RegisteredModel, stranger: User, client: Client
) -> None:
    text = export(client, stranger, "format=jsonl")
    assert "scorer" not in text
    [told] = Event.objects.filter(type="audit.exported")
    assert told.actor_id == stranger.pk


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_no_cell_becomes_a_formula(auditor: User, client: Client, start: str) -> None:
    User.objects.filter(pk=auditor.pk).update(username=f"{start}cmd")
    auditor.refresh_from_db()
    rows = list(csv.DictReader(io.StringIO(export(client, auditor, "format=csv"))))
    assert rows[-1]["actor_name"] == f"'{start}cmd"


def test_timeline_knows_an_object_by_all_its_names(
    model: RegisteredModel, owner: User, stranger: User, call: Call
) -> None:
    registry.rename_model(model, "prod.fraud.better", principal=owner)
    answer = call(owner, "get", "timeline/model/prod.fraud.better")
    assert listed(answer)[0] == "registered_model.renamed"
    assert listed(answer)[-1] == "registered_model.created"
    assert call(stranger, "get", "timeline/model/prod.fraud.better").status_code == 404


def test_timeline_of_a_catalog_hides_what_is_hidden_in_it(
    model: RegisteredModel, owner: User, stranger: User, admin: User, call: Call
) -> None:
    catalog = model.schema.catalog
    access.grant(catalog, Privilege.BROWSE, stranger, principal=admin)
    access.grant(catalog, Privilege.USE_CATALOG, stranger, principal=admin)
    told = call(stranger, "get", "timeline/catalog/prod").json()["events"]
    assert "catalog.created" in {event["type"] for event in told}
    assert "version" not in str({event["subject_type"] for event in told})
    assert "grant.added" not in {
        event["type"] for event in told if event["subject_name"] == model.full_name
    }


def test_command_writes_a_whole_file(model: RegisteredModel, tmp_path: Path) -> None:
    output = tmp_path / "events.jsonl"
    call_command("export_audit", output=output, stdout=io.StringIO())
    assert len(output.read_text().splitlines()) == Event.objects.count()
    call_command("verify_audit", file=output, stdout=io.StringIO())


def test_a_file_that_was_not_finished_has_no_name(tmp_path: Path) -> None:
    def lines() -> Any:
        yield "one\n"
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_whole(tmp_path / "events.jsonl", lines())
    assert list(tmp_path.iterdir()) == []


def test_command_refuses_an_unknown_type(db: None) -> None:
    with pytest.raises(CommandError, match="unknown"):
        call_command("export_audit", type="nonsense")
