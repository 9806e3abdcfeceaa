"""Rolling an alias back: only to what was rightfully there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest
from core.errors import Conflict, NotFound, PermissionDenied
from registry import services as registry
from registry.models import ModelVersion, Schema

Act = Callable[..., None]


@pytest.fixture
def shifter(grantee: User, use: Act) -> User:
    """Somebody with SHIFT TRAFFIC on the schema, who owns nothing."""
    use(grantee, Privilege.SHIFT_TRAFFIC)
    return grantee


@pytest.fixture
def newer(
    approval: ApprovalRequest,
    reviewer: User,
    approve: Act,
    make_version: Callable[..., ModelVersion],
    owner: User,
) -> ModelVersion:
    """Version 2, to which Champion moved from version 1; both were approved."""
    approve(approval, reviewer)
    version = make_version(approval.model, content="2")
    second = approvals.request_alias(
        approval.model, "Champion", version, principal=owner
    )
    approve(second, reviewer)
    return version


def test_approved_version_is_restored_without_a_new_request(
    newer: ModelVersion, version: ModelVersion, schema: Schema, shifter: User
) -> None:
    alias = approvals.restore_alias(
        newer.model, "champion", version, authority=schema, principal=shifter
    )
    assert (alias.version, alias.generation) == (version, 3)


def test_version_that_was_never_approved_is_not_restored(
    newer: ModelVersion, schema: Schema, shifter: User, make_version
) -> None:
    third = make_version(newer.model, content="3")
    with pytest.raises(PermissionDenied, match="never moved to version 3"):
        approvals.restore_alias(
            newer.model, "Champion", third, authority=schema, principal=shifter
        )


def test_owner_without_shift_traffic_may_not_restore(
    newer: ModelVersion, version: ModelVersion, schema: Schema, owner: User
) -> None:
    with pytest.raises(PermissionDenied, match="SHIFT TRAFFIC"):
        approvals.restore_alias(
            newer.model, "Champion", version, authority=schema, principal=owner
        )


def test_stranger_may_not_restore(
    newer: ModelVersion, version: ModelVersion, schema: Schema, stranger: User
) -> None:
    with pytest.raises(NotFound):
        approvals.restore_alias(
            newer.model, "Champion", version, authority=schema, principal=stranger
        )


def test_open_request_is_reset_when_the_alias_is_restored(
    newer: ModelVersion, version: ModelVersion, schema, shifter, make_version, owner
) -> None:
    third = make_version(newer.model, content="3")
    waiting = approvals.request_alias(newer.model, "Champion", third, principal=owner)
    approvals.restore_alias(
        newer.model, "Champion", version, authority=schema, principal=shifter
    )
    waiting.refresh_from_db()
    assert (waiting.status, waiting.previous_version) == ("pending", version)
    assert waiting.alias_generation == 3


def test_unprotected_alias_goes_back_to_where_it_was_only(
    version: ModelVersion, schema: Schema, shifter: User, owner: User, make_version
) -> None:
    second = make_version(version.model, content="2")
    third = make_version(version.model, content="3")
    approvals.set_alias(version.model, "free", version, principal=owner)
    approvals.set_alias(version.model, "free", second, principal=owner)
    restore = {"authority": schema, "principal": shifter}
    with pytest.raises(PermissionDenied, match="never moved"):
        approvals.restore_alias(version.model, "free", third, **restore)
    alias = approvals.restore_alias(version.model, "FREE", version, **restore)
    assert alias.version == version


def test_tampered_version_is_not_restored(
    newer: ModelVersion, version: ModelVersion, schema: Schema, shifter: User
) -> None:
    registry.report_tampering(version, ["weights.json was changed"])
    version.refresh_from_db()
    with pytest.raises(Conflict, match="changed on disk"):
        approvals.restore_alias(
            newer.model, "Champion", version, authority=schema, principal=shifter
        )
