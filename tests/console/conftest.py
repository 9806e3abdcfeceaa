"""A signed-in browser per role, and what the pages show: a request, an endpoint."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest
from events.models import Event
from registry.models import ModelVersion, RegisteredModel
from serving import services as serving
from serving.models import Endpoint, ModelServer, Rollout, ServerStatus
from tests.factories import UserFactory

ALIAS = "Champion"


@pytest.fixture
def browser() -> Callable[[User], Client]:
    """Return a client in which a person is signed in."""

    def sign_in(person: User) -> Client:
        client = Client(headers={"accept": "text/html"})
        client.force_login(person)
        return client

    return sign_in


@pytest.fixture
def make_people(db: None) -> Callable[[int], list[User]]:
    """Make a number of people."""
    return UserFactory.create_batch


@pytest.fixture
def reviewer(approver: User, use: Callable[..., None], model: RegisteredModel) -> User:
    """The approver, with the rights to decide on the model's requests."""
    use(approver, Privilege.APPROVE, Privilege.EXECUTE)
    return approver


@pytest.fixture
def approval(
    model: RegisteredModel, version: ModelVersion, reviewer: User, owner: User
) -> ApprovalRequest:
    """Ask for Champion, which a policy protects, as the owner."""
    approvals.create_policy(model, ALIAS, principal=owner)
    return approvals.request_alias(
        model, ALIAS, version, reason="Better recall", principal=owner
    )


@pytest.fixture
def endpoint(
    approval: ApprovalRequest, reviewer: User, owner: User, use: Callable[..., None]
) -> Endpoint:
    """prod.fraud.payments, which serves version 1 after its rollout."""
    use(owner, Privilege.CREATE_ENDPOINT)
    approvals.decide(approval, "approve", digest=approval.digest, principal=reviewer)
    endpoint = serving.create_endpoint(
        "prod.fraud.payments", approval.model, ALIAS, principal=owner
    )
    run(endpoint.rollouts.get(), until="succeeded")
    return serving.get_endpoint(endpoint.full_name)


@pytest.fixture
def rollout(
    endpoint: Endpoint, make_version: Callable[..., ModelVersion], reviewer: User
) -> Rollout:
    """A canary of version 2, in its first step."""
    second = make_version(endpoint.model, content="2")
    owner = endpoint.owner
    asked = approvals.request_alias(endpoint.model, ALIAS, second, principal=owner)
    approvals.decide(asked, "approve", digest=asked.digest, principal=reviewer)
    moved = Event.objects.filter(type="alias.set").latest("sequence")
    started = serving.start_rollout(endpoint, second, moved)
    assert started is not None
    return run(started, until="step")


@pytest.fixture
def pilot(reviewer: User, endpoint: Endpoint, owner: User) -> User:
    """The approver, who may also steer the endpoint's traffic."""
    access.grant(endpoint, Privilege.SHIFT_TRAFFIC, reviewer, principal=owner)
    return reviewer


def run(rollout: Rollout, *, until: str) -> Rollout:
    """Let the machine work, with servers that are healthy and time that passes."""
    for _ in range(20):
        if rollout.status == until:
            return rollout
        now = timezone.now()
        ModelServer.objects.filter(status=ServerStatus.STARTING).update(
            status=ServerStatus.HEALTHY, healthy_at=now
        )
        Rollout.objects.filter(pk=rollout.pk, next_at__isnull=False).update(next_at=now)
        rollout = serving.reconcile(serving.get_rollout(rollout.pk))
    raise AssertionError(f"The rollout stays {rollout.status}.")
