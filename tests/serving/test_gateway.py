"""A real Envoy in front of tiny servers: who passes, and where requests go."""

from __future__ import annotations

import datetime as dt
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import time_machine
from django.utils import timezone

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry.models import ModelVersion
from serving import services as serving
from serving.models import (
    Endpoint,
    GatewayStatus,
    ModelServer,
    Rollout,
    RolloutStatus,
    ServerStatus,
)
from tests.factories import GroupFactory
from tests.serving.conftest import FAST_PLAN, Move, fresh, step
from tests.serving.stack import Stack, running_stack, upstreams

pytestmark = pytest.mark.e2e

URL = "/serving/prod.fraud.live/invocations"
Serve = Callable[[ModelVersion], subprocess.Popen[bytes]]


@pytest.fixture
def stack(db: None) -> Iterator[Stack]:
    with running_stack() as stack:
        yield stack


@pytest.fixture
def serve(stack: Stack, move: Move) -> Iterator[Serve]:
    """Roll a version out to its first weight, served by a tiny server."""
    with upstreams() as start:

        def to(version: ModelVersion) -> subprocess.Popen[bytes]:
            rollout = step(move(version))
            server = ModelServer.objects.get(version=version)
            process = start(server)
            stack.restart_agent()
            stack.tick_until(lambda: fresh(rollout).status not in _WAITING)
            stack.tick_until(
                lambda: GatewayStatus.objects.filter(is_ready=True).exists()
            )
            _settle(stack, rollout.endpoint)
            return process

        yield to


_WAITING = (RolloutStatus.PENDING, RolloutStatus.PREPARING)


def _settle(stack: Stack, endpoint: Endpoint) -> None:
    """Tick until Envoy shows the endpoint's newest generation."""

    def is_shown() -> bool:
        shown = GatewayStatus.objects.get().generations.get(str(endpoint.pk))
        endpoint.refresh_from_db()
        return bool(shown == endpoint.generation)

    stack.tick_until(is_shown)


def _versions(stack: Stack, principal: User, calls: int) -> Counter[str]:
    return Counter(stack.call(URL, principal).json["version"] for _ in range(calls))


def test_only_holders_of_query_pass(
    stack: Stack,
    serve: Serve,
    endpoint: Endpoint,
    version: ModelVersion,
    owner: User,
    grantee: User,
    stranger: User,
) -> None:
    access.grant(endpoint, Privilege.QUERY, grantee, principal=owner)
    serve(version)

    assert stack.call(URL).status == 401
    assert stack.call(URL, headers={"Authorization": "Bearer nonsense"}).status == 401
    assert stack.call(URL, stranger).status == 403
    assert stack.call(URL, owner).status == 200
    answer = stack.call(URL, grantee)
    assert answer.status == 200
    assert answer.headers["x-greenlight-model"] == "prod.fraud.scorer"
    assert answer.headers["x-greenlight-version"] == "1"
    assert answer.headers["x-greenlight-digest"] == version.digest
    assert answer.json["path"] == "/invocations"


def test_a_client_cannot_name_its_own_subject(
    stack: Stack, serve: Serve, version: ModelVersion, owner: User, stranger: User
) -> None:
    serve(version)

    for name in ("x-gl-sub", "X-GL-SUB", "x_gl_sub"):
        spoof = {name: str(owner.pk)}
        assert stack.call(URL, headers=spoof).status == 401
        assert stack.call(URL, stranger, headers=spoof).status == 403
    sent = stack.call(URL, owner, headers={"x-gl-sub": "someone"}).json["headers"]
    assert sent["x-gl-sub"] == str(owner.pk)
    assert "authorization" not in sent


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/serving/prod.fraud.live/docs", 403),
        ("/serving/prod.fraud.live/", 403),
        ("/serving/prod.fraud.other/invocations", 403),
        ("/serving/prod.fraud.live/../prod.fraud.live/docs", 403),
        ("/serving%2Fprod.fraud.live/invocations", 400),
        ("/serving/prod.fraud.live/invocations/../ping", 200),
        ("/serving/prod.fraud.live/version?x=1", 200),
    ],
)
def test_only_the_scoring_paths_are_served(
    path: str,
    status: int,
    stack: Stack,
    serve: Serve,
    version: ModelVersion,
    owner: User,
) -> None:
    serve(version)

    assert stack.call(path, owner).status == status


def test_members_of_a_group_pass_until_the_grant_goes(
    stack: Stack,
    serve: Serve,
    endpoint: Endpoint,
    version: ModelVersion,
    admin: User,
    owner: User,
    grantee: User,
) -> None:
    group = GroupFactory()
    access.add_member(group, grantee, principal=admin)
    access.grant(endpoint, Privilege.QUERY, group, principal=owner)
    serve(version)
    assert stack.call(URL, grantee).status == 200

    access.revoke(endpoint, Privilege.QUERY, group, principal=owner)
    stack.agent.tick()
    stack.tick_until(lambda: stack.call(URL, grantee).status == 403)

    assert stack.call(URL, owner).status == 200


def test_principal_that_is_switched_off_is_locked_out(
    stack: Stack, serve: Serve, version: ModelVersion, owner: User
) -> None:
    serve(version)
    assert stack.call(URL, owner).status == 200

    User.objects.filter(pk=owner.pk).update(is_active=False)

    stack.tick_until(lambda: stack.call(URL, owner).status == 403)


def test_seen_share_comes_from_envoy(
    stack: Stack,
    serve: Serve,
    endpoint: Endpoint,
    version: ModelVersion,
    make_version: Callable[..., ModelVersion],
    owner: User,
) -> None:
    serve(version)
    serve(make_version(endpoint.model, content="2"))

    seen = _versions(stack, owner, 300)
    stack.agent.tick()

    assert 5 <= seen["2"] <= 70
    counted = GatewayStatus.objects.get().seen[str(endpoint.pk)]
    assert counted["2"]["recent"] == seen["2"]
    assert counted["1"]["requests"] == seen["1"]


def test_weights_change_under_load_without_a_failure(
    stack: Stack,
    serve: Serve,
    endpoint: Endpoint,
    version: ModelVersion,
    make_version: Callable[..., ModelVersion],
    owner: User,
) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(
        plan={**endpoint.plan, **_fast(endpoint)}
    )
    serve(version)
    load = Load(stack, owner)
    load.start()

    serve(make_version(endpoint.model, content="2"))
    stack.tick_until(lambda: not Rollout.objects.exclude(status="succeeded").exists())
    stack.tick_until(lambda: load.seen["2"] > 50)
    serving.rollback(endpoint, principal=owner)
    stack.tick_until(
        lambda: (
            not ModelServer.objects.filter(
                version__number=2, status__in=ModelServer.LIVE
            ).exists()
        )
    )
    load.stop()

    assert set(load.statuses) == {200}
    assert set(load.seen) == {"1", "2"}
    _settle(stack, endpoint)
    assert _versions(stack, owner, 20) == {"1": 20}


def _fast(endpoint: Endpoint) -> dict[str, object]:
    steps = [{"min_duration_seconds": 0, **step} for step in FAST_PLAN["steps"]]
    full = {"weight": 10_000, "min_duration_seconds": 0}
    return {**endpoint.plan, "steps": [*steps, full], "bake_seconds": 0}


class Load:
    """Callers that never stop asking, and note every answer."""

    def __init__(self, stack: Stack, principal: User) -> None:
        self.statuses: Counter[int] = Counter()
        self.seen: Counter[str] = Counter()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(stack, principal))
            for _ in range(4)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, stack: Stack, principal: User) -> None:
        while not self._stop.is_set():
            answer = stack.call(URL, principal)
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self.seen[answer.json["version"]] += 1


def test_abort_takes_the_canary_out_of_traffic(
    stack: Stack,
    serve: Serve,
    endpoint: Endpoint,
    version: ModelVersion,
    make_version: Callable[..., ModelVersion],
    owner: User,
) -> None:
    serve(version)
    serve(make_version(endpoint.model, content="2"))
    assert _versions(stack, owner, 200)["2"]

    serving.abort(fresh(Rollout.objects.get(version__number=2)), principal=owner)
    _settle(stack, endpoint)

    assert _versions(stack, owner, 200) == {"1": 200}


def test_sticky_callers_keep_their_version_while_the_weight_rises(
    stack: Stack,
    serve: Serve,
    endpoint: Endpoint,
    version: ModelVersion,
    make_version: Callable[..., ModelVersion],
    owner: User,
) -> None:
    plan = {**endpoint.plan, "sticky": True}
    Endpoint.objects.filter(pk=endpoint.pk).update(plan=plan)
    serve(version)
    serve(make_version(endpoint.model, content="2"))
    before = _versions_of_callers(stack, owner)
    assert before == _versions_of_callers(stack, owner)

    serving.promote(Rollout.objects.get(version__number=2), principal=owner)
    _settle(stack, endpoint)
    after = _versions_of_callers(stack, owner)

    early = {caller for caller, number in before.items() if number == "2"}
    late = {caller for caller, number in after.items() if number == "2"}
    assert 0 < len(early) < len(late) < len(after)
    assert early < late


def _versions_of_callers(stack: Stack, principal: User) -> dict[str, str]:
    return {
        f"caller-{i}": stack.call(
            URL, principal, headers={"x-gl-affinity": f"caller-{i}"}
        ).json["version"]
        for i in range(100)
    }


def test_refused_fragment_keeps_its_last_good_and_blocks_nobody(
    stack: Stack,
    serve: Serve,
    endpoint: Endpoint,
    version: ModelVersion,
    owner: User,
    grantee: User,
) -> None:
    other = serving.create_endpoint(
        "prod.fraud.other", endpoint.model, "Other", principal=owner
    )
    serve(version)
    bad = {**endpoint.plan, "timeout_seconds": -4}
    Endpoint.objects.filter(pk=endpoint.pk).update(plan=bad)
    access.grant(other, Privilege.QUERY, grantee, principal=owner)

    other_url = "/serving/prod.fraud.other/ping"
    assert stack.call(other_url, grantee).status == 403
    stack.tick_until(lambda: stack.call(other_url, grantee).status == 503)

    assert stack.call(URL, owner).status == 200
    stack.agent.tick()
    problems = GatewayStatus.objects.get().problems
    assert "duration" in problems[str(endpoint.pk)]


def test_new_agent_takes_over_a_running_server(
    stack: Stack, serve: Serve, version: ModelVersion, owner: User
) -> None:
    process = serve(version)
    before = ModelServer.objects.get()

    stack.restart_agent()
    stack.agent.tick()

    after = ModelServer.objects.get()
    assert (after.pid, after.status) == (process.pid, ServerStatus.HEALTHY)
    assert after.restarts == before.restarts == 0
    assert stack.call(URL, owner).status == 200


def test_tokens_expire(
    stack: Stack, serve: Serve, version: ModelVersion, owner: User
) -> None:
    serve(version)

    with time_machine.travel(timezone.now() - dt.timedelta(hours=1), tick=False):
        assert stack.call(URL, owner).status == 401
