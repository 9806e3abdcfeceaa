"""Who counts for which rule: a matching of persons to the places of rules.

"2 of risk, 1 of platform" with somebody in both groups: to count that person where
they help most is a maximum matching in a bipartite graph (persons on one side, the
places of the rules on the other), found by augmenting paths (Kuhn, 1955).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TypeVar

_Person = TypeVar("_Person")


def fill(
    needed: Sequence[int], able: Mapping[_Person, Set[int]]
) -> list[list[_Person]]:
    """Give every person at most one rule, so that as many places as possible are filled.

    `needed` is the number of places of each rule, `able` the rules (by index) that
    each person may count for. Returns the persons of each rule. Persons that come
    first in the mapping keep a place; which rule they fill may change.
    """
    filled: list[list[_Person]] = [[] for _ in needed]
    for person in able:
        _place(person, needed, able, filled, set())
    return filled


def _place(
    person: _Person,
    needed: Sequence[int],
    able: Mapping[_Person, Set[int]],
    filled: list[list[_Person]],
    tried: set[int],
) -> bool:
    """Seat a person, by moving others when that makes room; tell whether it worked."""
    for rule in sorted(able[person]):
        if rule in tried:
            continue
        tried.add(rule)
        if len(filled[rule]) < needed[rule]:
            filled[rule].append(person)
            return True
        for seated in list(filled[rule]):
            if _place(seated, needed, able, filled, tried):
                filled[rule].remove(seated)
                filled[rule].append(person)
                return True
    return False


def everywhere(rules: int, able: Mapping[_Person, Set[int]]) -> list[list[_Person]]:
    """Count every person for every rule that they may count for."""
    return [[who for who, which in able.items() if at in which] for at in range(rules)]
