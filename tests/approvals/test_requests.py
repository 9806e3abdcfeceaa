"""Asking for a protected alias."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import transaction

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.lifecycle import lock
from approvals.models import ApprovalRequest, Decision, Policy
from approvals.services.application import apply_if_ready
from core.errors import Conflict, InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel

MakeVersion = Callable[..., ModelVersion]


def test_request_is_bound_to_the_bytes(
    approval: ApprovalRequest, version: ModelVersion
) -> None:
    assert approval.status == "pending"
    assert approval.digest == version.digest
    assert approval.full_name == "prod.fraud.scorer@Champion"
    assert approval.unmet() == ["1 more approval by somebody with APPROVE"]


def test_event_of_a_request_says_all_that_a_receiver_needs(
    approval: ApprovalRequest, version: ModelVersion
) -> None:
    data = Event.objects.get(type="approval.requested").data
    assert data["request_id"] == str(approval.id)
    assert data["model"] == "prod.fraud.scorer"
    assert (data["version"], data["previous"], data["alias"]) == (1, None, "Champion")
    assert data["digest"] == version.digest
    assert data["requested_by"] == "owner"
    assert data["links"]["review"].endswith(f"/approvals/{approval.id}/")
    assert data["links"]["decide"].endswith(
        f"/api/v1/approvals/{approval.id}/decisions"
    )
    assert data["unmet"] == approval.unmet()


def test_grantee_may_not_request(
    policy: Policy, version: ModelVersion, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE, Privilege.APPROVE, Privilege.MANAGE)
    with pytest.raises(PermissionDenied, match="ownership"):
        approvals.request_alias(version.model, "Champion", version, principal=grantee)


def test_stranger_may_not_know_the_model(
    policy: Policy, version: ModelVersion, stranger: User
) -> None:
    with pytest.raises(NotFound):
        approvals.request_alias(version.model, "Champion", version, principal=stranger)


def test_unprotected_alias_needs_no_request(version: ModelVersion, owner: User) -> None:
    with pytest.raises(Conflict, match="No policy protects"):
        approvals.request_alias(version.model, "free", version, principal=owner)


@pytest.mark.parametrize("alias", ["latest", "v3", "", "a b", "ä", "a/b"])
def test_impossible_alias_is_refused_at_once(
    version: ModelVersion, owner: User, alias: str
) -> None:
    approvals.create_policy(version.model, "*", principal=owner)
    with pytest.raises(InvalidParameter):
        approvals.request_alias(version.model, alias, version, principal=owner)


def test_version_must_be_ready(
    model: RegisteredModel, policy: Policy, owner: User, tmp_path
) -> None:
    (tmp_path / "empty").mkdir()
    failed = registry.create_version_from_directory(
        model, tmp_path / "empty", principal=owner
    )
    with pytest.raises(Conflict, match="not ready"):
        approvals.request_alias(model, "Champion", failed, principal=owner)


def test_tampered_version_cannot_be_asked_for(
    policy: Policy, version: ModelVersion, owner: User
) -> None:
    registry.report_tampering(version, ["weights.json was changed"])
    with pytest.raises(Conflict, match="changed on disk"):
        approvals.request_alias(version.model, "Champion", version, principal=owner)


def test_version_of_another_model_is_refused(
    policy: Policy, version: ModelVersion, owner: User
) -> None:
    other = registry.create_model("prod.fraud.other", principal=owner)
    with pytest.raises(InvalidParameter, match="no version of"):
        approvals.request_alias(other, "Champion", version, principal=owner)


def test_asking_again_finds_the_open_request(
    approval: ApprovalRequest, version: ModelVersion, owner: User
) -> None:
    again = approvals.request_alias(version.model, "CHAMPION", version, principal=owner)
    assert again == approval
    assert Event.objects.filter(type="approval.requested").count() == 1


def test_newer_request_supersedes_the_older(
    approval: ApprovalRequest, make_version: MakeVersion, owner: User
) -> None:
    second = make_version(approval.model, content="2")
    newer = approvals.request_alias(approval.model, "Champion", second, principal=owner)
    approval.refresh_from_db()
    assert (approval.status, newer.status) == ("superseded", "pending")
    assert "Version 2" in approval.closing_reason
    assert Event.objects.filter(type="approval.superseded").count() == 1


def test_what_is_already_there_is_not_asked_for(
    approval: ApprovalRequest, reviewer: User, approve: Callable[..., None], owner: User
) -> None:
    approve(approval, reviewer)
    with pytest.raises(Conflict, match="is version 1 already"):
        approvals.request_alias(
            approval.model, "Champion", approval.version, principal=owner
        )


def test_requester_withdraws(approval: ApprovalRequest, owner: User) -> None:
    cancelled = approvals.cancel(approval, principal=owner)
    assert cancelled.status == "cancelled"
    assert cancelled.closed_at is not None
    with pytest.raises(Conflict, match="is cancelled"):
        approvals.cancel(approval, principal=owner)


def test_manager_withdraws_and_approver_may_not(
    approval: ApprovalRequest, reviewer: User, grantee: User, use: Callable[..., None]
) -> None:
    with pytest.raises(PermissionDenied):
        approvals.cancel(approval, principal=reviewer)
    use(grantee, Privilege.MANAGE)
    assert approvals.cancel(approval, principal=grantee).status == "cancelled"


def test_stranger_cannot_withdraw(approval: ApprovalRequest, stranger: User) -> None:
    with pytest.raises(NotFound):
        approvals.cancel(approval, principal=stranger)


# --- setting an alias --------------------------------------------------------


def test_unprotected_alias_moves_at_once(version: ModelVersion, owner: User) -> None:
    alias = approvals.set_alias(version.model, "free", version, principal=owner)
    assert alias.version == version


def test_setting_a_protected_alias_is_refused_and_opens_the_request(
    policy: Policy, version: ModelVersion, owner: User
) -> None:
    with pytest.raises(PermissionDenied, match="is protected") as refusal:
        approvals.set_alias(version.model, "champion", version, principal=owner)
    approval = ApprovalRequest.objects.get()
    assert approval.status == "pending"
    assert refusal.value.details["request_url"].endswith(f"/approvals/{approval.id}/")
    assert refusal.value.details["request_url"] in refusal.value.message
    assert refusal.value.details["unmet"] == approval.unmet()
    assert registry.get_alias(version.model, "Champion") is None


def test_setting_it_again_finds_the_same_request(
    policy: Policy, version: ModelVersion, owner: User
) -> None:
    for _ in range(2):
        with pytest.raises(PermissionDenied):
            approvals.set_alias(version.model, "Champion", version, principal=owner)
    assert ApprovalRequest.objects.count() == 1


def test_setting_what_is_already_there_changes_nothing(
    approval: ApprovalRequest, reviewer: User, approve: Callable[..., None], owner: User
) -> None:
    approve(approval, reviewer)
    alias = approvals.set_alias(
        approval.model, "Champion", approval.version, principal=owner
    )
    assert alias.generation == 1


def test_grantee_may_not_set_an_alias(
    policy: Policy, version: ModelVersion, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.EXECUTE)
    with pytest.raises(PermissionDenied, match="ownership"):
        approvals.set_alias(version.model, "Champion", version, principal=grantee)
    assert not ApprovalRequest.objects.exists()


def test_stranger_may_not_set_an_alias(
    policy: Policy, version: ModelVersion, stranger: User
) -> None:
    with pytest.raises(NotFound):
        approvals.set_alias(version.model, "Champion", version, principal=stranger)
    assert not ApprovalRequest.objects.exists()


def test_protected_alias_cannot_be_deleted(
    approval: ApprovalRequest, reviewer: User, approve: Callable[..., None], owner: User
) -> None:
    approve(approval, reviewer)
    with pytest.raises(PermissionDenied, match="cannot be deleted"):
        approvals.delete_alias(approval.model, "CHAMPION", principal=owner)


def test_unprotected_alias_is_deleted_by_its_owner_only(
    version: ModelVersion, owner: User, grantee: User, stranger: User, use
) -> None:
    use(grantee, Privilege.EXECUTE)
    approvals.set_alias(version.model, "free", version, principal=owner)
    with pytest.raises(PermissionDenied):
        approvals.delete_alias(version.model, "free", principal=grantee)
    with pytest.raises(NotFound):
        approvals.delete_alias(version.model, "free", principal=stranger)
    approvals.delete_alias(version.model, "free", principal=owner)
    assert registry.get_alias(version.model, "free").version is None


def test_requester_who_lost_ownership_invalidates_the_request(
    approval: ApprovalRequest, reviewer: User, approve: Callable[..., None], admin: User
) -> None:
    RegisteredModel.objects.filter(pk=approval.model_id).update(owner=admin)
    with pytest.raises(Conflict, match="owns the model no more"):
        approve(approval, reviewer)
    approval.refresh_from_db()
    assert approval.status == "invalidated"
    assert registry.get_alias(approval.model, "Champion") is None
    assert Event.objects.filter(type="approval.invalidated").count() == 1


def test_requester_switched_off_invalidates_the_request(
    approval: ApprovalRequest, reviewer: User, approve: Callable[..., None], owner: User
) -> None:
    User.objects.filter(pk=owner.pk).update(is_active=False)
    with pytest.raises(Conflict, match="switched off"):
        approve(approval, reviewer)
    approval.refresh_from_db()
    assert approval.status == "invalidated"


def test_requester_who_loses_the_right_at_the_last_moment_fails_the_request(
    approval: ApprovalRequest, reviewer: User, approve: Callable[..., None], admin: User
) -> None:
    digest = approval.digest
    Decision.objects.create(
        request=approval,
        approver=reviewer,
        person=reviewer,
        verdict="approve",
        digest=digest,
    )
    RegisteredModel.objects.filter(pk=approval.model_id).update(owner=admin)
    with transaction.atomic():
        locked = lock(approval)
        apply_if_ready(locked, principal=reviewer)
    assert locked.status == "failed"
    assert registry.get_alias(approval.model, "Champion") is None
    assert Event.objects.filter(type="approval.failed").count() == 1


def test_service_principal_of_the_requester_may_withdraw(
    approval: ApprovalRequest, owner: User, admin: User
) -> None:
    robot = access.create_service_principal("robot", owner, principal=admin)
    assert approvals.cancel(approval, principal=robot).status == "cancelled"
