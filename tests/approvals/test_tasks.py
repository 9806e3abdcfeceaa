"""A training run that succeeded asks for its alias, once."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from access.models import User
from approvals import tasks
from approvals.models import ApprovalRequest, Policy
from events.models import Event, OutboxEntry
from events.services import emit
from events.types import EventType
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel


def _succeed(version: ModelVersion, requested_by: User, **data: Any) -> Event:
    with transaction.atomic():
        return emit(
            EventType.PIPELINE_RUN_SUCCEEDED,
            version,
            principal=requested_by,
            **{
                "run_id": "r1",
                "model": version.model.full_name,
                "version": version.number,
                "request_alias": "Champion",
                "requested_by": requested_by.id,
                "started_by": requested_by.id,
                **data,
            },
        )


def test_run_opens_one_request_however_often_it_is_told(
    policy: Policy, version: ModelVersion, owner: User
) -> None:
    event = _succeed(version, owner)
    for _ in range(2):
        tasks.on_run_succeeded(str(event.id))
    approval = ApprovalRequest.objects.get()
    assert (approval.requester, approval.version) == (owner, version)
    assert approval.reason == "Training run r1 succeeded."
    assert Event.objects.filter(type="approval.requested").count() == 1


def test_run_sets_an_unprotected_alias(version: ModelVersion, owner: User) -> None:
    tasks.on_run_succeeded(str(_succeed(version, owner).id))
    assert registry.get_alias(version.model, "Champion").version == version
    assert not ApprovalRequest.objects.exists()


def test_run_without_an_alias_asks_for_nothing(
    policy: Policy, version: ModelVersion, owner: User
) -> None:
    tasks.on_run_succeeded(str(_succeed(version, owner, request_alias=None).id))
    assert not ApprovalRequest.objects.exists()


def test_refusal_is_final_and_leaves_no_work(
    policy: Policy,
    version: ModelVersion,
    stranger: User,
    caplog: pytest.LogCaptureFixture,
) -> None:
    event = _succeed(version, stranger)
    tasks.on_run_succeeded(str(event.id))
    entry = OutboxEntry.objects.get(
        event=event, task="approvals.tasks.on_run_succeeded"
    )
    assert entry.handled_at is not None
    assert "alias not requested" in caplog.text


def test_request_of_a_run_needs_the_ownership_of_its_principal(
    policy: Policy, model: RegisteredModel, version: ModelVersion, approver: User
) -> None:
    tasks.on_run_succeeded(str(_succeed(version, approver).id))
    assert not ApprovalRequest.objects.exists()
