"""Automated checks: what counts, and who may report."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest
from core.errors import Conflict, NotFound, PermissionDenied
from registry.models import ModelVersion
from tests.approvals.looks import champion, tamper

Act = Callable[..., None]


@pytest.fixture
def checked(version: ModelVersion, owner: User) -> ApprovalRequest:
    """A request that needs one approval and the check `ci`."""
    approvals.create_policy(version.model, "Champion", checks=["ci"], principal=owner)
    return approvals.request_alias(version.model, "Champion", version, principal=owner)


@pytest.fixture
def ci(grantee: User, use: Act) -> User:
    """Somebody with EXECUTE."""
    use(grantee, Privilege.EXECUTE)
    return grantee


def test_missing_check_holds_and_then_applies(
    checked: ApprovalRequest, reviewer: User, ci: User, approve: Act, report: Act
) -> None:
    approve(checked, reviewer)
    assert checked.unmet() == ["check ci has not reported"]
    assert champion(checked) is None
    report(checked, "ci", ci)
    assert (checked.status, champion(checked)) == ("applied", checked.version)


def test_check_alone_does_not_apply(
    checked: ApprovalRequest, ci: User, report: Act
) -> None:
    report(checked, "ci", ci)
    assert checked.unmet() == ["1 more approval by somebody with APPROVE"]


def test_failed_check_waits_and_the_latest_report_counts(
    checked: ApprovalRequest, reviewer: User, ci: User, approve: Act, report: Act
) -> None:
    report(checked, "ci", ci, passed=True)
    report(checked, "ci", ci, passed=False)
    approve(checked, reviewer)
    assert checked.unmet() == ["check ci failed"]
    report(checked, "ci", ci, passed=True)
    assert checked.status == "applied"


def test_check_for_other_bytes_is_a_conflict(
    checked: ApprovalRequest, ci: User
) -> None:
    with pytest.raises(Conflict, match="not the digest"):
        approvals.report_check(
            checked, "ci", passed=True, digest="0" * 64, principal=ci
        )


def test_green_check_on_changed_bytes_invalidates(
    checked: ApprovalRequest, ci: User, report: Act
) -> None:
    tamper(checked.version)
    with pytest.raises(Conflict, match="changed on disk"):
        report(checked, "ci", ci)
    checked.refresh_from_db()
    assert checked.status == "invalidated"


def test_owner_may_not_vouch_for_the_own_version(
    checked: ApprovalRequest, owner: User, admin: User, use: Act, report: Act
) -> None:
    robot = access.create_service_principal("robot", owner, principal=admin)
    use(robot, Privilege.EXECUTE)
    for principal in (owner, robot):
        with pytest.raises(PermissionDenied, match="may not report a check"):
            report(checked, "ci", principal)
    assert not checked.checks.exists()


def test_approver_without_execute_may_not_report(
    checked: ApprovalRequest, reviewer: User, report: Act
) -> None:
    with pytest.raises(PermissionDenied, match="EXECUTE"):
        report(checked, "ci", reviewer)


def test_stranger_may_not_report(
    checked: ApprovalRequest, stranger: User, report: Act
) -> None:
    with pytest.raises(NotFound):
        report(checked, "ci", stranger)


def test_closed_request_takes_no_report(
    checked: ApprovalRequest, owner: User, ci: User, report: Act
) -> None:
    approvals.cancel(checked, principal=owner)
    with pytest.raises(Conflict, match="is cancelled"):
        report(checked, "ci", ci)
