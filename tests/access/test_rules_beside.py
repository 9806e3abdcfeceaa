"""The rows of the table that are not one call: who queries, uploads, sees grants."""

from __future__ import annotations

from django.test import Client

from access.authz import is_allowed
from access.models import User
from access.privileges import Privilege
from registry.models import ModelVersion
from serving.subjects import subjects_of
from tests.access import scenes
from tests.access.test_rules import (
    EXECUTABLE,
    GRANTED,
    MODEL,
    POWER,
    ROLES,
    cast,
    log_length,
    row,
    send,
    world,  # noqa: F401  # the fixture
)
from tests.access.worlds import put_grant
from tests.factories import UserFactory

P = Privilege


def test_p_9_who_queries_an_endpoint(
    world: ModelVersion,  # noqa: F811
    admin: User,
) -> None:
    """The rule and the list that the gateway holds are one; a token says only who."""
    scenes.endpoint(world)
    asked = row("P-9", "send a request", GRANTED, grant=P.QUERY, on="endpoint")
    for role in ROLES:
        with cast(role, asked, admin) as who:
            endpoint = scenes.live()
            listed = str(who.pk) in subjects_of([endpoint])[endpoint.pk]
            assert listed == is_allowed(who, P.QUERY, endpoint), role
            assert listed == (role in asked.allowed), role


def test_p_11_and_12_nobody_writes_into_a_version(
    world: ModelVersion,  # noqa: F811
    admin: User,
    client: Client,
) -> None:
    """Bytes and digest are taken when a version is registered; no call adds any."""
    asked = row("P-11", "upload files", set(), grant=P.ALL_PRIVILEGES)
    for role in ROLES:
        with cast(role, asked, admin) as who:
            before = log_length()
            answer = send(client, who, ("PUT", EXECUTABLE, {"x": 1}), "/api/2.0/")
            assert answer.status_code in {403, 404}, (role, answer.content)
            assert log_length() == before
            kept = ModelVersion.objects.get(pk=world.pk)
            assert (kept.digest, kept.manifest) == (world.digest, world.manifest)


def test_p_18_who_sees_all_grants(
    world: ModelVersion,  # noqa: F811
    admin: User,
    client: Client,
) -> None:
    """Power over the model shows everybody's grants; others see their own."""
    asked = row("P-18", "see all grants", POWER, grant=P.ALL_PRIVILEGES)
    call = ("GET", f"permissions/model/{MODEL}", None)
    put_grant(world.model, P.EXECUTE.value, UserFactory(username="someone"))
    for role in ROLES:
        with cast(role, asked, admin) as who:
            answer = send(client, who, call, "/api/v1/")
            assert ("someone" in answer.content.decode()) == (role in POWER), role
