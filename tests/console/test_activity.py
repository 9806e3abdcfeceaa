"""The pages of the audit log: filters, copies, and its health."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import LazySettings
from django.test import Client

from access.models import User
from events import checkpoints
from events.models import Event, Verification
from registry.models import RegisteredModel
from tests.factories import UserFactory

Browser = Callable[[User], Client]
MODEL_PAGE = "/catalog/prod/fraud/scorer/"


@pytest.fixture
def auditor(db: None) -> User:
    return UserFactory(username="auditor", is_auditor=True)


@pytest.fixture
def browser(client: Client) -> Browser:
    def sign_in(person: User) -> Client:
        client.force_login(person)
        return client

    return sign_in


def text(client: Client, path: str) -> str:
    return client.get(path).content.decode()


def test_activity_filters_by_outcome_and_day(
    browser: Browser, model: RegisteredModel, stranger: User, auditor: User
) -> None:
    browser(stranger).get(MODEL_PAGE)
    client = browser(auditor)
    refused = text(client, "/activity/?outcome=denied")
    assert "was refused GET" in refused
    assert "created the model" not in refused
    assert "created the model" in text(client, "/activity/?since=2020-01-01")
    assert "created the model" not in text(client, "/activity/?until=2020-01-01")
    assert client.get("/activity/?since=soon").status_code == 400


def test_owner_finds_refusals_on_the_tab_of_the_object(
    browser: Browser, model: RegisteredModel, stranger: User, owner: User
) -> None:
    browser(stranger).get(MODEL_PAGE)
    tab = f"/objects/model/{model.full_name}/activity/"
    assert "was refused" in text(browser(owner), tab)
    assert "was refused" not in text(browser(stranger), "/activity/")


def test_copies_keep_the_filter(
    browser: Browser, model: RegisteredModel, auditor: User
) -> None:
    client = browser(auditor)
    page = text(client, "/activity/?type=schema.created")
    assert "/activity/export/csv?type=schema.created" in page
    answer = client.get("/activity/export/csv?type=schema.created")
    lines = b"".join(answer.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2
    assert "schema.created" in lines[1]
    assert Event.objects.filter(type="audit.exported", actor_id=auditor.pk).exists()
    assert client.get("/activity/export/xml").status_code == 400


def test_health_is_for_auditors(
    browser: Browser,
    model: RegisteredModel,
    auditor: User,
    owner: User,
    settings: LazySettings,
) -> None:
    settings.AUDIT_SINKS = {"events": "syslog+tcp://siem.example:601"}
    assert browser(owner).get("/activity/log/").status_code == 403
    checkpoints.make_checkpoint()
    Verification.objects.create(first_sequence=1, last_sequence=3, problems=0)
    page = text(browser(auditor), "/activity/log/")
    assert "an unbroken chain" in page
    assert "siem.example:601" in page
    assert "Is the log whole?" in text(browser(auditor), "/activity/")
