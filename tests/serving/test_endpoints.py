"""Endpoints: who creates and sees them, and which alias moves reach them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from core.errors import AlreadyExists, InvalidParameter, NotFound, PermissionDenied
from events.models import Event, OutboxEntry
from events.types import EventType
from registry.models import ModelVersion, RegisteredModel, Schema
from serving import services as serving
from serving import tokens
from serving.models import Endpoint, Rollout, RolloutKind, RolloutStatus
from serving.plans import DEFAULT_PLAN, check_plan
from serving.tasks import on_alias_set
from tests.serving.conftest import FAST_PLAN, begin, fresh, weights

Use = Callable[..., None]


def test_owner_of_a_model_makes_an_endpoint_with_create_endpoint(
    endpoint: Endpoint, owner: User, model: RegisteredModel
) -> None:
    assert (endpoint.owner, endpoint.run_as, endpoint.model) == (owner, owner, model)
    event = Event.objects.get(type=EventType.ENDPOINT_CREATED)
    assert event.subject_id == endpoint.pk


def test_endpoint_needs_create_endpoint_on_its_schema(
    model: RegisteredModel, owner: User
) -> None:
    with pytest.raises(PermissionDenied, match="CREATE ENDPOINT"):
        serving.create_endpoint("prod.fraud.live", model, "Champion", principal=owner)


def test_grantee_of_execute_makes_an_endpoint_for_a_foreign_model(
    model: RegisteredModel, owner: User, grantee: User, use: Use
) -> None:
    use(grantee, Privilege.CREATE_ENDPOINT)
    access.grant(model, Privilege.EXECUTE, grantee, principal=owner)

    made = serving.create_endpoint("prod.fraud.mine", model, "x", principal=grantee)

    assert made.owner == grantee


def test_stranger_without_execute_makes_no_endpoint(
    model: RegisteredModel, stranger: User, use: Use
) -> None:
    use(stranger, Privilege.CREATE_ENDPOINT)

    with pytest.raises(PermissionDenied, match="lacks EXECUTE"):
        serving.create_endpoint("prod.fraud.mine", model, "x", principal=stranger)


def test_nobody_lends_an_endpoint_the_rights_of_someone_else(
    model: RegisteredModel, owner: User, stranger: User, use: Use
) -> None:
    use(stranger, Privilege.CREATE_ENDPOINT)

    with pytest.raises(PermissionDenied, match="run_as must be yourself"):
        serving.create_endpoint(
            "prod.fraud.mine", model, "x", run_as=owner, principal=stranger
        )


def test_own_service_principal_needs_execute_with_reasons(
    model: RegisteredModel, owner: User, admin: User, use: Use
) -> None:
    use(owner, Privilege.CREATE_ENDPOINT)
    robot = access.create_service_principal("robot", owner, principal=admin)

    with pytest.raises(PermissionDenied) as refused:
        serving.create_endpoint(
            "prod.fraud.live", model, "x", run_as=robot, principal=owner
        )
    missing = {r["missing"] for r in refused.value.details["reasons"]}
    assert "EXECUTE" in missing

    use(robot, Privilege.EXECUTE)
    made = serving.create_endpoint(
        "prod.fraud.live", model, "x", run_as=robot, principal=owner
    )
    assert serving.run_as_problems(made) == []


def test_name_of_an_endpoint_is_taken_in_any_case(
    endpoint: Endpoint, owner: User, model: RegisteredModel
) -> None:
    with pytest.raises(AlreadyExists):
        serving.create_endpoint("prod.fraud.Live", model, "x", principal=owner)


def test_endpoint_on_an_alias_that_points_somewhere_starts_at_once(
    model: RegisteredModel, version: ModelVersion, owner: User, use: Use
) -> None:
    approvals.set_alias(model, "Champion", version, principal=owner)
    use(owner, Privilege.CREATE_ENDPOINT)

    endpoint = serving.create_endpoint(
        "prod.fraud.live", model, "champion", principal=owner
    )

    rollout = endpoint.rollouts.get()
    assert (rollout.kind, rollout.version) == (RolloutKind.INITIAL, version)


def test_moved_alias_starts_one_rollout_per_follower(
    endpoint: Endpoint, model: RegisteredModel, version: ModelVersion, owner: User
) -> None:
    other = serving.create_endpoint("prod.fraud.two", model, "Other", principal=owner)
    approvals.set_alias(model, "Champion", version, principal=owner)
    entry = OutboxEntry.objects.get(task="serving.tasks.on_alias_set")

    on_alias_set(str(entry.event_id))
    on_alias_set(str(entry.event_id))

    assert endpoint.rollouts.get().event_id == entry.event_id
    assert not other.rollouts.exists()


def test_late_event_does_not_bring_an_old_version_back(
    endpoint: Endpoint,
    model: RegisteredModel,
    version: ModelVersion,
    make_version: Callable[..., ModelVersion],
    owner: User,
) -> None:
    newer = make_version(model, content="2")
    for each in (version, newer):
        approvals.set_alias(model, "Champion", each, principal=owner)
    first, second = OutboxEntry.objects.filter(
        task="serving.tasks.on_alias_set"
    ).order_by("event__sequence")

    on_alias_set(str(second.event_id))
    on_alias_set(str(first.event_id))

    assert endpoint.rollouts.get().version == newer


def test_follower_whose_run_as_lost_execute_stays_as_it_is(
    endpoint: Endpoint, model: RegisteredModel, version: ModelVersion, admin: User
) -> None:
    robot = access.create_service_principal("robot", admin, principal=admin)
    Endpoint.objects.filter(pk=endpoint.pk).update(run_as=robot)
    approvals.set_alias(model, "Champion", version, principal=model.owner)

    on_alias_set(str(Event.objects.get(type=EventType.ALIAS_SET).pk))

    assert not Rollout.objects.exists()
    assert serving.run_as_problems(Endpoint.objects.get())


@pytest.mark.parametrize(
    "plan",
    [
        {"speed": 1},
        {"steps": []},
        {"steps": [{"pause": True}]},
        {"steps": [{"weight": 0}]},
        {"steps": [{"weight": 10_001}]},
        {"steps": [{"weight": 50.0}]},
        {"steps": [{"weight": True}]},
        {"steps": [{"weight": 500}, {"weight": 500}]},
        {"steps": [{"weight": 10_000}, {"pause": True}]},
        {"steps": [{"weight": 500, "min_duration_seconds": -1}]},
        {"steps": [{"weight": 500, "until": 1}]},
        {"bake_seconds": "long"},
        {"timeout_seconds": 0},
        {"sticky": 1},
    ],
)
def test_plan_that_cannot_be_followed_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match="plan"):
        check_plan(plan)


def test_plan_has_defaults_and_ends_with_all_traffic() -> None:
    assert check_plan(None) == DEFAULT_PLAN
    assert check_plan(FAST_PLAN)["steps"][-1]["weight"] == 10_000


@given(st.sets(st.integers(1, 10_000), min_size=1, max_size=20))
def test_any_rising_weights_make_a_plan(rising: set[int]) -> None:
    steps = check_plan({"steps": [{"weight": w} for w in sorted(rising)]})["steps"]

    assert [step["weight"] for step in steps] == sorted(rising | {10_000})


# --- REST --------------------------------------------------------------------------


@pytest.fixture
def api(client: Client) -> Callable[..., Any]:
    """Call the REST API as a principal."""

    def call(method: str, path: str, principal: User, **body: Any) -> Any:
        token = access.issue_token(principal, "test", principal=principal)
        return client.generic(
            method,
            f"/api/v1/{path}",
            _json(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"},
        )

    return call


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body)


def test_endpoint_is_made_and_read_over_rest(
    api: Callable[..., Any],
    model: RegisteredModel,
    version: ModelVersion,
    owner: User,
    stranger: User,
    schema: Schema,
    use: Use,
) -> None:
    use(owner, Privilege.CREATE_ENDPOINT)
    wanted = {"name": "prod.fraud.live", "model": model.full_name, "alias": "Champion"}
    approvals.set_alias(model, "Champion", version, principal=owner)

    made = api("POST", "endpoints", owner, **wanted)

    assert made.status_code == 201, made.content
    body = api("GET", "endpoints/prod.fraud.live", owner).json()
    assert body["alias_version"] == 1
    assert body["rollout"]["kind"] == "initial"
    assert body["routes"] == []
    assert api("GET", "endpoints/prod.fraud.live", stranger).status_code == 404
    assert api("GET", "endpoints", stranger).json() == {"endpoints": []}


def test_holder_of_query_sees_the_endpoint(
    api: Callable[..., Any], endpoint: Endpoint, owner: User, stranger: User
) -> None:
    access.grant(endpoint, Privilege.QUERY, stranger, principal=owner)

    listed = api("GET", "endpoints", stranger).json()["endpoints"]

    assert [row["full_name"] for row in listed] == ["prod.fraud.live"]


def test_rollout_is_steered_over_rest(
    api: Callable[..., Any],
    endpoint: Endpoint,
    champion: ModelVersion,
    make_version: Callable[..., ModelVersion],
    move: Callable[[ModelVersion], Rollout],
    owner: User,
    steerer: User,
    stranger: User,
) -> None:
    rollout = begin(move(make_version(endpoint.model, content="2")))
    path = f"rollouts/{rollout.pk}"

    assert api("POST", f"{path}/pause", stranger).status_code == 404
    assert api("POST", f"{path}/pause", steerer).json()["status"] == "paused"
    assert api("POST", f"{path}/resume", steerer).json()["status"] == "step"
    assert api("POST", f"{path}/explode", steerer).status_code == 404
    promoted = api("POST", f"{path}/promote-full", steerer)
    assert promoted.json()["status"] == "promoting"
    assert api("POST", f"{path}/abort", owner).json()["status"] == "rolled_back"
    assert api("GET", path, owner).json()["reason"] == "aborted by owner"
    refused = api("POST", "endpoints/prod.fraud.live/rollback", owner)
    assert refused.status_code == 409
    assert fresh(rollout).status == RolloutStatus.ROLLED_BACK
    assert weights(endpoint) == {1: 10_000}


def test_any_credential_is_exchanged_for_a_serving_token(
    api: Callable[..., Any], client: Client, stranger: User
) -> None:
    issued = api("POST", "serving-token", stranger).json()

    key = jwt.PyJWKSet.from_dict(tokens.public_keys()).keys[0]
    claims = jwt.decode(
        issued["token"],
        key,
        algorithms=["EdDSA"],
        audience="serving",
        issuer="greenlight",
    )
    assert claims["sub"] == str(stranger.pk)
    assert claims["exp"] - claims["iat"] == 900
    assert client.post("/api/v1/serving-token").status_code == 401


def test_signing_key_is_private_and_stays(settings: Any, stranger: User) -> None:
    first = tokens.public_keys()

    assert tokens.public_keys() == first
    path = settings.KEYS_DIR / "serving_ed25519.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" in path.read_bytes()
    assert "d" not in first["keys"][0]


def test_missing_endpoint_is_not_found(db: None) -> None:
    with pytest.raises(NotFound):
        serving.get_endpoint("prod.fraud.none")
