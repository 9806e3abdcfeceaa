"""Rights that nobody should hold together, found before they do harm.

Four eyes are checked again at every decision; this warns when a grant makes a
pair, so that nobody is surprised by a refusal, or tempted to find a way round.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Q

from access.holdings import Who
from access.matrix import MAX_OBJECTS, Matrix, with_chain
from access.privileges import Privilege
from access.securables import Securable, kinds_of_securables

# whoever owns the object is kept from deciding anyway
_OWNED = (0, Privilege.OWN.value)


@dataclass(frozen=True)
class ToxicRule:
    """Two sets of operations; whoever may do one of each is told."""

    name: str
    words: str
    makes: frozenset[str]
    judges: frozenset[str]


TOXIC_RULES = (
    ToxicRule(
        "train_and_approve",
        "may make versions of the model and approve them",
        frozenset({"create_version", "train_and_register", "start_training"}),
        frozenset({"decide_approval"}),
    ),
)


@dataclass(frozen=True, order=True)
class ToxicPair:
    """A principal that may do both halves of a rule about one model."""

    principal: str
    full_name: str
    rule: str
    words: str


def toxic_pairs(matrix: Matrix) -> set[ToxicPair]:
    """Return the pairs among the principals and objects of a matrix."""
    trainers: dict[str, list[Securable]] = defaultdict(list)
    for thing in matrix.objects:
        trainers[thing.trained_model].append(thing)
    return {
        ToxicPair(who.username, thing.full_name, rule.name, rule.words)
        for thing in matrix.objects
        for who in matrix.people
        for rule in TOXIC_RULES
        if _judges(rule, matrix, who, thing)
        and any(
            rule.makes & matrix.able(who, one)
            for one in (thing, *trainers.get(thing.full_name, ()))
        )
    }


def _judges(rule: ToxicRule, matrix: Matrix, who: Who, thing: Securable) -> bool:
    granted: frozenset[tuple[int, str]] = matrix.facts(who, thing) - {_OWNED}
    return bool(rule.judges & matrix.able_by(who, thing, granted))


def with_partners(objects: list[Securable]) -> list[Securable]:
    """Return objects with the pipelines that train them, and the models these train."""
    found = {one.pk: one for one in objects}
    names = {one.full_name for one in objects}
    trained = {one.trained_model for one in objects} - {"", *names}
    for kind in kinds_of_securables():
        if kind.TRAINS:
            rows = with_chain(kind).filter(**{f"{kind.TRAINS}__in": names})
            found.update({row.pk: row for row in rows[:MAX_OBJECTS]})
        elif trained and kind.IS_TRAINED:
            rows = with_chain(kind).filter(Q(full_name__in=trained))
            found.update({row.pk: row for row in rows[:MAX_OBJECTS]})
    return list(found.values())
