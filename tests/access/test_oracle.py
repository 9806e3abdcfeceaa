"""Every answer of access against a second, obvious telling of the rules."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from access import services as access
from access.explanations import explain
from access.models import User
from access.operations import operations_on
from access.privileges import Privilege
from access.securables import Securable
from access.simulation import Change, apply, simulate
from access.ways import able, case_of
from access.who_could import who_could
from core.errors import DomainError
from events.models import Event
from events.services import rehearsal
from registry.models import RegisteredModel
from tests.access.oracle import Oracle, World
from tests.access.worlds import (
    GROUPS,
    INTERESTING,
    KINDS,
    PEOPLE,
    Rows,
    built,
    worlds,
)

P = Privilege
pytestmark = pytest.mark.django_db

# operations that anybody may do have no list of people
_OPEN = {"see_own_grants", "ask_for_access"}
_MODEL_OPERATIONS = [one.name for one in operations_on("registeredmodel")]


def examples(count: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=count,
        # a world is small as it is, and shrinking one takes minutes
        phases=[Phase.explicit, Phase.generate],
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


def expected(world: World, who: str, level: str) -> set[str]:
    oracle = Oracle(world, who)
    names = (one.name for one in operations_on(KINDS[level]))
    return {name for name in names if oracle.may(name, level)}


@examples(20)
@given(world=worlds())
def test_checks_and_lists_follow_the_rules(world: World) -> None:
    with built(world) as rows:
        for who in PEOPLE + GROUPS:
            principal = rows.people[who]
            for level, thing in rows.things.items():
                assert able(case_of(principal, thing)) == expected(world, who, level)
            _check_lists(world, rows, who)


def _check_lists(world: World, rows: Rows, who: str) -> None:
    oracle, principal = Oracle(world, who), rows.people[who]
    models = RegisteredModel.objects
    for privilege, operation in {
        P.EXECUTE: "download_files",
        P.OWN: "move_alias",
        P.MANAGE: "change_grants",
        P.APPROVE: "decide_approval",
        P.APPLY_TAG: "apply_tag",
    }.items():
        listed = models.allowed(principal, privilege).exists()
        assert listed == oracle.may(operation, "model"), (who, operation)
    for level in KINDS:
        kind = type(rows.things[level])
        seen = kind.objects.visible(principal).exists()
        assert seen == oracle.may(f"see_{level}", level), (who, level)
    detailed = models.detailed(principal).exists()
    assert detailed == oracle.may("see_versions", "model"), who


@examples(15)
@given(world=worlds(), who=st.sampled_from(PEOPLE + GROUPS), data=st.data())
def test_explanations_follow_the_rules(
    world: World, who: str, data: st.DataObject
) -> None:
    level = data.draw(st.sampled_from(list(KINDS)))
    names = [one.name for one in operations_on(KINDS[level])]
    with built(world) as rows:
        for name in data.draw(st.sets(st.sampled_from(names), min_size=3)):
            told = explain(rows.people[who], name, rows.things[level])
            assert told.is_allowed == Oracle(world, who).may(name, level)
            for need in told.requirements:
                assert need.met == bool(need.sources) or need.what in {
                    "nothing",
                    "the admin role",
                    "the auditor role",
                }


@examples(10)
@given(world=worlds(), data=st.data())
def test_who_could_is_brute_force(world: World, data: st.DataObject) -> None:
    names = sorted(set(_MODEL_OPERATIONS) - _OPEN)
    operation = data.draw(st.sampled_from(names))
    with built(world) as rows:
        model = rows.things["model"]
        found = {could.principal: could for could in who_could(operation, model)}
        now = {name for name, could in found.items() if could.may_now}
        assert now == {
            who for who in PEOPLE if Oracle(world, who).may(operation, "model")
        }
        later = {who for who in PEOPLE if _could(world, rows, who, operation)}
        glass = {name for name, could in found.items() if could.by_breaking_glass}
        assert set(found) - glass == later - glass


def _could(world: World, rows: Rows, who: str, operation: str) -> bool:
    """Try it: let somebody take everything that the services give, then ask."""
    principal = rows.people[who]
    with rehearsal():
        for _ in range(2):
            for thing in rows.things.values():
                _take_all(thing, principal)
        model = RegisteredModel.objects.get(name="m")
        able_then = able(case_of(principal, model))
    return operation in able_then


def _take_all(thing: Securable, principal: User) -> None:
    for privilege in sorted(INTERESTING - {"all_privileges"}):
        with contextlib.suppress(DomainError):
            access.grant(copy.copy(thing), privilege, principal, principal=principal)
    with contextlib.suppress(DomainError):
        access.transfer_ownership(copy.copy(thing), principal, principal=principal)


_CHANGES = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["grant", "revoke"]),
            st.sampled_from(PEOPLE + GROUPS),
            st.sampled_from(list(KINDS)),
            st.sampled_from(["execute", "apply_tag", "manage", "all_privileges"]),
        ),
        st.tuples(
            st.sampled_from(["add_member", "remove_member"]),
            st.sampled_from(PEOPLE),
            st.sampled_from(GROUPS),
            st.just(""),
        ),
        st.tuples(
            st.just("transfer_ownership"),
            st.sampled_from(PEOPLE + GROUPS),
            st.sampled_from(list(KINDS)),
            st.just(""),
        ),
    ),
    min_size=1,
    max_size=3,
)


@examples(15)
@given(world=worlds(), drawn=_CHANGES)
def test_simulation_is_the_real_difference(
    world: World, drawn: list[tuple[str, str, str, str]]
) -> None:
    with built(world) as rows:
        root = User.objects.create(username="root", is_superuser=True)
        changes = [_change(rows, *one) for one in drawn]
        before, events = _matrix(rows), Event.objects.count()

        simulated = simulate(changes, principal=root)

        assert _matrix(rows) == before
        assert Event.objects.count() == events
        for change in changes:
            apply(change, principal=root)
        after = _matrix(rows)
        assert not simulated.is_truncated
        assert {
            (one.principal, one.full_name): (set(one.gains), set(one.loses))
            for one in simulated.differences
        } == {
            key: (after[key] - before[key], before[key] - after[key])
            for key in before
            if after[key] != before[key]
        }


def _change(rows: Rows, verb: str, who: str, where: str, privilege: str) -> Change:
    if verb in {"add_member", "remove_member"}:
        return Change(verb, rows.people[who], group=rows.people[where])
    return Change(verb, rows.people[who], rows.things[where], privilege)


def _matrix(rows: Rows) -> dict[tuple[str, str], frozenset[str]]:
    return {
        (who, thing.full_name): able(case_of(rows.people[who], fresh))
        for who in PEOPLE
        for thing in rows.things.values()
        for fresh in [type(thing).objects.get(pk=thing.pk)]
    }
