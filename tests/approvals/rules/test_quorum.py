"""Persons are matched to the places of rules as well as it can be done."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.rules.quorum import everywhere, fill

_needs = st.lists(st.integers(1, 3), min_size=1, max_size=3)


def _most(needed: list[int], able: list[set[int]]) -> int:
    """Try every way to give each person one rule or none."""
    choices = [[None, *which] for which in able]
    return max(
        sum(min(chosen.count(rule), need) for rule, need in enumerate(needed))
        for chosen in itertools.product(*choices)
    )


@settings(deadline=None)
@given(st.data())
def test_no_other_way_fills_more_places(data: st.DataObject) -> None:
    needed = data.draw(_needs)
    rules = st.sets(st.integers(0, len(needed) - 1))
    able = data.draw(st.lists(rules, max_size=6))
    filled = fill(needed, dict(enumerate(able)))

    placed = [person for persons in filled for person in persons]
    assert len(placed) == len(set(placed)) == _most(needed, able)
    for rule, persons in enumerate(filled):
        assert len(persons) <= needed[rule]
        assert all(rule in able[person] for person in persons)


def test_who_is_in_both_groups_helps_where_it_is_needed() -> None:
    able = {"both": {0, 1}, "risk1": {0}, "risk2": {0}}
    assert fill([2, 1], able) == [["risk1", "risk2"], ["both"]]


def test_one_person_is_not_two() -> None:
    assert sorted(map(len, fill([1, 1], {"both": {0, 1}}))) == [0, 1]


def test_without_distinct_reviewers_one_person_counts_everywhere() -> None:
    assert everywhere(2, {"both": {0, 1}, "one": {1}}) == [["both"], ["both", "one"]]
