"""Ownership passes on with a record, and four eyes outlive the transfer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
import time_machine
from django.conf import settings
from django.utils import timezone

from access import services as access
from access.authz import is_allowed, require
from access.models import OwnershipTransfer, User
from access.privileges import Privilege
from approvals import services as approvals
from core.errors import InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from registry import services as registry
from registry.models import Catalog, ModelVersion, RegisteredModel
from tests.factories import UserFactory

P = Privilege


def test_owner_transfers_and_has_nothing_left(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    access.transfer_ownership(model, grantee, principal=owner)
    require(grantee, P.OWN, model)
    assert not is_allowed(owner, P.OWN, model)
    event = Event.objects.get(type="owner.transferred")
    assert (event.data["before"], event.data["after"]) == ("owner", "grantee")


def test_manager_takes_ownership_and_grantee_does_not(
    model: RegisteredModel, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    use(grantee)
    access.grant(model, P.EXECUTE, grantee, principal=owner)
    with pytest.raises(PermissionDenied):
        access.transfer_ownership(model, grantee, principal=grantee)
    access.grant(model, P.MANAGE, grantee, principal=owner)
    access.transfer_ownership(model, grantee, principal=grantee)
    require(grantee, P.OWN, model)


def test_stranger_transfers_nothing(model: RegisteredModel, stranger: User) -> None:
    with pytest.raises(NotFound):
        access.transfer_ownership(model, stranger, principal=stranger)
    assert not OwnershipTransfer.objects.exists()


def test_transfer_to_the_owner_changes_nothing(
    model: RegisteredModel, owner: User
) -> None:
    access.transfer_ownership(model, owner, principal=owner)
    assert not OwnershipTransfer.objects.exists()


def test_transfer_to_who_is_switched_off_is_refused(
    model: RegisteredModel, owner: User
) -> None:
    with pytest.raises(InvalidParameter, match="switched off"):
        access.transfer_ownership(model, UserFactory(is_active=False), principal=owner)


def test_new_owner_asks_for_a_protected_alias_only_after_the_cooling_period(
    version: ModelVersion, owner: User, grantee: User, use: Callable[..., None]
) -> None:
    model = version.model
    approvals.create_policy(model, "Champion", principal=owner)
    use(grantee)
    access.transfer_ownership(model, grantee, principal=owner)
    with pytest.raises(PermissionDenied, match="changed hands"):
        approvals.set_alias(model, "Champion", version, principal=grantee)
    later = timezone.now() + settings.COOLING_PERIOD + dt.timedelta(minutes=1)
    with time_machine.travel(later):
        asked = approvals.request_alias(model, "Champion", version, principal=grantee)
    assert asked.requester == grantee


def test_former_owner_cannot_approve_what_the_new_one_asks(
    model: RegisteredModel,
    make_version: Callable[..., ModelVersion],
    admin: User,
    owner: User,
    grantee: User,
    use: Callable[..., None],
) -> None:
    approvals.create_policy(model, "Champion", principal=owner)
    use(grantee)
    access.grant(model, P.APPROVE, owner, principal=owner)
    asked = approvals.request_alias(
        model, "Champion", make_version(model), principal=owner
    )
    access.grant(model, P.APPROVE, grantee, principal=owner)
    access.transfer_ownership(model, grantee, principal=owner)
    access.transfer_ownership(model, owner, principal=admin)
    with pytest.raises(PermissionDenied, match="party to it"):
        approvals.decide(asked, "approve", digest=asked.digest, principal=grantee)


def test_create_catalog_is_granted_on_the_metastore(admin: User, grantee: User) -> None:
    with pytest.raises(PermissionDenied) as refused:
        registry.create_catalog("lab", principal=grantee)
    assert refused.value.details["reasons"][0]["full_name"] == "metastore"
    access.grant(registry.get_metastore(), P.CREATE_CATALOG, grantee, principal=admin)
    assert registry.create_catalog("lab", principal=grantee).owner == grantee


def test_version_privilege_is_granted_only_where_the_catalog_delegates(
    model: RegisteredModel, owner: User, grantee: User
) -> None:
    with pytest.raises(InvalidParameter, match="delegated_versions"):
        access.grant(model, P.CREATE_MODEL_VERSION, grantee, principal=owner)
    Catalog.objects.update(delegated_versions=True)
    fresh = registry.get_model(model.full_name)
    access.grant(fresh, P.CREATE_MODEL_VERSION, grantee, principal=owner)
    assert fresh.grants.filter(user=grantee).exists()
