"""`manage.py bootstrap`: safe to run as often as a script likes."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from access import services as access
from access.authentication import principal_of
from access.models import AccessToken, User
from core.errors import Unauthenticated
from events.models import Event
from registry import services as registry
from registry.models import Metastore
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


def bootstrap(*arguments: str) -> dict[str, Any]:
    output = StringIO()
    call_command("bootstrap", "--json", *arguments, stdout=output)
    assert output.getvalue().count("\n") == 1
    answer: dict[str, Any] = json.loads(output.getvalue())
    return answer


def test_the_first_run_creates_an_admin_that_can_sign_in() -> None:
    answer = bootstrap()

    admin = User.objects.get(username=answer["username"])
    assert admin.is_superuser
    assert admin.check_password(answer["password"])
    assert principal_of(answer["token"]) == admin
    assert answer["url"] == settings.PUBLIC_URL
    assert Metastore.objects.get().owner == admin
    assert Event.objects.filter(type="principal.created", subject_id=admin.id).exists()


def test_a_second_run_prints_the_same() -> None:
    assert bootstrap() == bootstrap()
    assert User.objects.count() == 1


def test_the_credentials_are_readable_by_the_owner_only() -> None:
    bootstrap()

    assert (settings.KEYS_DIR / "admin.json").stat().st_mode & 0o777 == 0o600


def test_a_revoked_token_is_replaced() -> None:
    first = bootstrap()
    admin = User.objects.get()
    access.revoke_token(AccessToken.objects.get(), principal=admin)

    second = bootstrap()

    assert principal_of(second["token"]) == admin
    with pytest.raises(Unauthenticated):
        principal_of(first["token"])


def test_a_password_that_was_changed_is_not_printed() -> None:
    bootstrap()
    admin = User.objects.get()
    admin.set_password("chosen by the admin")
    admin.save()

    assert bootstrap()["password"] is None
    admin.refresh_from_db()
    assert admin.check_password("chosen by the admin")


def test_an_admin_made_by_hand_gets_a_token_and_keeps_the_password() -> None:
    root = UserFactory(username="root", is_superuser=True)

    answer = bootstrap()

    assert (answer["username"], answer["password"]) == ("root", None)
    assert principal_of(answer["token"]) == root


def test_the_name_of_somebody_else_is_not_taken() -> None:
    UserFactory(username="Admin")

    with pytest.raises(CommandError, match="belongs to somebody else"):
        bootstrap()


def test_a_namespace_is_made_once() -> None:
    bootstrap("--namespace", "dev.bars")
    bootstrap("--namespace", "dev.bars")
    bootstrap("--namespace", "dev.others")

    assert registry.get_schema("dev.bars").full_name == "dev.bars"
    assert registry.get_schema("dev.others").catalog == registry.get_catalog("dev")


@pytest.mark.parametrize("name", ["dev", "dev.", ".bars"])
def test_a_namespace_has_two_levels(name: str) -> None:
    with pytest.raises(CommandError, match=r"CATALOG\.SCHEMA"):
        bootstrap("--namespace", name)


def test_people_read_a_table() -> None:
    output = StringIO()

    call_command("bootstrap", stdout=output)

    answer = bootstrap()
    assert answer["token"] in output.getvalue()
    assert answer["password"] in output.getvalue()
