"""Access tokens: format, expiry, revocation, who may issue."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from access import services as access
from access.authentication import principal_of
from access.models import AccessToken, User
from access.tokens import is_well_formed, new_token
from core.errors import InvalidParameter, PermissionDenied, Unauthenticated

WHO = "/api/v1/tokens"


def basic(username: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def test_token_has_a_prefix_and_a_checksum() -> None:
    token = new_token()
    assert token.startswith("gl_")
    assert is_well_formed(token)
    assert not is_well_formed(token[:-1] + ("a" if token[-1] != "a" else "b"))


def test_bearer_and_basic_are_the_same_principal(owner: User, client: Client) -> None:
    token = access.issue_token(owner, "laptop", principal=owner)
    bearer = client.get(WHO, headers={"Authorization": f"Bearer {token}"})
    as_password = client.get(WHO, headers={"Authorization": basic("owner", token)})
    for answer in (bearer, as_password):
        assert [token["name"] for token in answer.json()["tokens"]] == ["laptop"]


def test_only_the_digest_is_stored(owner: User) -> None:
    token = access.issue_token(owner, "laptop", principal=owner)
    assert token not in str(AccessToken.objects.values().get())


def test_expired_token_says_so(owner: User, client: Client) -> None:
    token = access.issue_token(owner, "laptop", principal=owner)
    with time_machine.travel(timezone.now() + dt.timedelta(days=91)):
        answer = client.get(WHO, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert "expired at" in answer.json()["message"]


def test_revoked_token_is_refused(owner: User) -> None:
    token = access.issue_token(owner, "laptop", principal=owner)
    access.revoke_token(AccessToken.objects.get(), principal=owner)
    with pytest.raises(Unauthenticated, match="revoked"):
        principal_of(token)


def test_token_of_a_switched_off_principal_is_refused(owner: User) -> None:
    token = access.issue_token(owner, "laptop", principal=owner)
    User.objects.update(is_active=False)
    with pytest.raises(Unauthenticated):
        principal_of(token)


def test_stranger_may_not_issue_for_another(owner: User, stranger: User) -> None:
    with pytest.raises(PermissionDenied):
        access.issue_token(owner, "stolen", principal=stranger)


def test_owner_issues_for_the_service_principal(owner: User, admin: User) -> None:
    robot = access.create_service_principal("ci", owner, principal=admin)
    assert principal_of(access.issue_token(robot, "ci", principal=owner)) == robot


def test_expiry_must_lie_ahead(owner: User) -> None:
    past = timezone.now() - dt.timedelta(1)
    with pytest.raises(InvalidParameter, match="expires_at"):
        access.issue_token(owner, "late", expires_at=past, principal=owner)


def test_password_over_basic_only_issues_a_token(admin: User, client: Client) -> None:
    password = "correct horse battery"
    access.create_user("carol", password=password, principal=admin)
    headers = {"Authorization": basic("carol", password)}
    assert client.get(WHO, headers=headers).status_code == 401
    issued = client.post(
        f"{WHO}/by-password", {"name": "x"}, "application/json", headers=headers
    )
    assert principal_of(issued.json()["token"]).username == "carol"


def test_no_credential_is_401_with_a_hint(client: Client, db: None) -> None:
    answer = client.get(WHO)
    assert answer.status_code == 401
