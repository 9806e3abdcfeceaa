"""Which operations principals may do on objects, worked out for many at a time."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.db.models import Q, QuerySet

from access.facts import Fact
from access.holdings import Holdings, Who, circles_above, circles_below
from access.models import User
from access.rules import level_names
from access.securables import Securable, kinds_of_securables
from access.ways import Case, able, delegates

# How much is worked out at a time; more is cut off, and the answer says so.
MAX_OBJECTS = 300
MAX_PRINCIPALS = 300


class Matrix:
    """Some principals before some objects, read in a fixed number of queries."""

    def __init__(self, objects: Sequence[Securable], people: Sequence[Who]) -> None:
        self.objects, self.people = objects, people
        circles = circles_above([who.id for who in people])
        self.circles = {who.id: circles.of(who.id) for who in people}
        counted: set[uuid.UUID] = set().union(*self.circles.values())
        self.holdings = Holdings(objects)
        self.holdings.read(Q(user__in=counted))
        self._known: dict[tuple[object, ...], frozenset[str]] = {}

    def facts(self, who: Who, securable: Securable) -> frozenset[Fact]:
        return self.holdings.facts(securable, self.circles[who.id])

    def able(self, who: Who, securable: Securable) -> frozenset[str]:
        """Return the names of the operations that a principal may do on an object."""
        return self.able_by(who, securable, self.facts(who, securable))

    def able_by(
        self, who: Who, securable: Securable, facts: frozenset[Fact]
    ) -> frozenset[str]:
        """Return what certain facts alone would allow; most pairs share theirs."""
        kind, delegated = type(securable), delegates(securable)
        key = (kind, facts, delegated, who.is_superuser, who.is_auditor)
        if key not in self._known:
            self._known[key] = able(Case(who, kind, facts, delegated))
        return self._known[key]


def people_in(principals: Sequence[User]) -> list[Who]:
    """Return those who can act of some principals and of all that is in them."""
    circles = circles_below([one.pk for one in principals])
    known = {**circles.known, **{one.pk: who_of(one) for one in principals}}
    return sorted(
        (who for who in known.values() if who.can_act), key=lambda who: who.username
    )


def who_of(user: User) -> Who:
    """Return a principal as far as the rule asks about it."""
    return Who(
        user.pk,
        user.username,
        user.kind,
        user.is_active,
        user.is_superuser,
        user.is_auditor,
    )


def below(securable: Securable, limit: int) -> list[Securable]:
    """Return an object and up to `limit` others inside it, each kind by name."""
    own = type(securable)._meta.model_name or ""
    found: list[Securable] = [securable]
    for kind in kinds_of_securables():
        names = level_names(kind)
        if own in names[1:]:
            path = kind.LEVELS[names.index(own)]
            rows = with_chain(kind).filter(**{path: securable}).order_by("name", "pk")
            found += rows[: max(0, limit + 1 - len(found))]
    return found


def held_by(principals: Sequence[uuid.UUID], limit: int) -> list[Securable]:
    """Return the objects on which principals hold a grant, or which they own."""
    found: list[Securable] = []
    for kind in kinds_of_securables():
        held = Q(grants__user__in=principals) | Q(owner__in=principals)
        rows = with_chain(kind).filter(held).order_by("name", "pk").distinct()
        found += rows[: max(0, limit - len(found))]
    return found


def with_chain(kind: type[Securable]) -> QuerySet[Securable]:
    """Return the rows of a kind together with their containers and all owners."""
    paths = [path for path in kind.LEVELS if path != "self"]
    rows: QuerySet[Securable] = kind.objects.select_related(
        "owner", *paths, *(f"{path}__owner" for path in paths)
    )
    return rows
