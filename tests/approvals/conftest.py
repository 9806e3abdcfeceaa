"""A protected Champion, a request for it, and somebody who may approve."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest, Policy
from registry.models import ModelVersion, RegisteredModel


@pytest.fixture
def reviewer(approver: User, use: Callable[..., None]) -> User:
    """`approver`, granted APPROVE on the schema."""
    use(approver, Privilege.APPROVE)
    return approver


@pytest.fixture
def policy(model: RegisteredModel, owner: User) -> Policy:
    """One approval for Champion of prod.fraud.scorer."""
    return approvals.create_policy(model, "Champion", principal=owner)


@pytest.fixture
def approval(policy: Policy, version: ModelVersion, owner: User) -> ApprovalRequest:
    """The owner's request for Champion to be version 1."""
    return approvals.request_alias(
        version.model, "Champion", version, reason="better", principal=owner
    )


@pytest.fixture
def approve() -> Callable[..., None]:
    def approve_it(approval: ApprovalRequest, principal: User) -> None:
        digest = approval.digest
        approvals.decide(approval, "approve", digest=digest, principal=principal)
        approval.refresh_from_db()

    return approve_it


@pytest.fixture
def report() -> Callable[..., None]:
    def report_it(
        approval: ApprovalRequest, name: str, principal: User, *, passed: bool = True
    ) -> None:
        approvals.report_check(
            approval, name, passed=passed, digest=approval.digest, principal=principal
        )
        approval.refresh_from_db()

    return report_it
