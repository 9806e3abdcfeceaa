"""What would change: who gains or loses which operation, before anything is done."""

from __future__ import annotations

import copy
import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from access.holdings import Who, circles_above
from access.matrix import (
    MAX_OBJECTS,
    MAX_PRINCIPALS,
    Matrix,
    below,
    held_by,
    people_in,
    with_chain,
)
from access.models import User
from access.securables import Securable
from access.services.grants import grant, revoke, transfer_ownership
from access.services.groups import add_member, remove_member
from access.toxic import ToxicPair, toxic_pairs, with_partners
from core.errors import InvalidParameter
from events.services import rehearsal

MAX_CHANGES = 50
VERBS = ("grant", "revoke", "add_member", "remove_member", "transfer_ownership")


@dataclass(frozen=True)
class Change:
    """One change that could be made; `who` is the grantee, member or new owner."""

    verb: str
    who: User
    securable: Securable | None = None
    privilege: str = ""
    expires_at: dt.datetime | None = None
    group: User | None = None


@dataclass(frozen=True)
class Difference:
    """What one principal gains and loses on one object."""

    principal: str
    securable_type: str
    full_name: str
    gains: tuple[str, ...]
    loses: tuple[str, ...]


@dataclass(frozen=True)
class Simulation:
    """The whole difference, as far as it was worked out."""

    differences: tuple[Difference, ...]
    # pairs of rights that nobody should hold together, which the change would make
    warnings: tuple[ToxicPair, ...]
    objects: int
    principals: int
    is_truncated: bool


def simulate(changes: Sequence[Change], *, principal: User) -> Simulation:
    """Work out what a list of changes would do; write nothing.

    The real services run and are rolled back, so a change that would be refused
    is refused here too. At most 300 objects and 300 principals are looked at.
    """
    if not 1 <= len(changes) <= MAX_CHANGES:
        raise InvalidParameter(f"changes: give 1 to {MAX_CHANGES} of them.")
    touched = touched_by(changes)
    with rehearsal():
        for change in changes:
            apply(change, principal=principal)
        # a change may reach further once those before it are made
        touched = touched.merge(touched_by(changes))
        after = touched.matrix()
    before = touched.matrix()
    return Simulation(
        differences=tuple(_differences(before, after)),
        warnings=tuple(sorted(toxic_pairs(after) - toxic_pairs(before))),
        objects=len(after.objects),
        principals=len(after.people),
        is_truncated=touched.is_truncated,
    )


def _differences(before: Matrix, after: Matrix) -> Iterator[Difference]:
    for thing in after.objects:
        for who in after.people:
            had, has = before.able(who, thing), after.able(who, thing)
            if had != has:
                yield Difference(
                    who.username,
                    str(thing._meta.verbose_name),
                    thing.full_name,
                    tuple(sorted(has - had)),
                    tuple(sorted(had - has)),
                )


def apply(change: Change, *, principal: User) -> None:
    """Make one change by its service."""
    thing = copy.copy(change.securable)  # a transfer notes the new owner in it
    if change.verb in {"add_member", "remove_member"}:
        if change.group is None:
            raise InvalidParameter(f"group: {change.verb} needs one.")
        act = add_member if change.verb == "add_member" else remove_member
        act(change.group, change.who, principal=principal)
        return
    if thing is None:
        raise InvalidParameter(f"object: {change.verb} needs one.")
    if change.verb == "transfer_ownership":
        transfer_ownership(thing, change.who, principal=principal)
    elif change.verb == "grant":
        grant(
            thing,
            change.privilege,
            change.who,
            expires_at=change.expires_at,
            principal=principal,
        )
    else:
        revoke(thing, change.privilege, change.who, principal=principal)


@dataclass(frozen=True)
class Touched:
    """The objects that changes bear on, by id, and the principals."""

    objects: dict[uuid.UUID, type[Securable]]
    people: dict[uuid.UUID, User]

    def merge(self, other: Touched) -> Touched:
        """Return what either touches."""
        return Touched(
            {**self.objects, **other.objects}, {**self.people, **other.people}
        )

    @property
    def is_truncated(self) -> bool:
        return len(self.objects) > MAX_OBJECTS or len(self._acting()) > MAX_PRINCIPALS

    def matrix(self) -> Matrix:
        """Read who may do what, as things are at this moment."""
        kept = dict(list(self.objects.items())[:MAX_OBJECTS])
        return Matrix(_rows(kept), self._acting()[:MAX_PRINCIPALS])

    def _acting(self) -> list[Who]:
        return people_in(list(self.people.values()))


def touched_by(changes: Sequence[Change]) -> Touched:
    """Return what changes bear on as things are at this moment, one more than counts."""
    targets = [change.securable for change in changes if change.securable]
    groups = [change.group.pk for change in changes if change.group]
    above = circles_above(groups)
    circle = {one for group in groups for one in above.of(group)}
    targets += held_by(list(circle), MAX_OBJECTS + 1) if circle else []
    objects: dict[uuid.UUID, type[Securable]] = {one.pk: type(one) for one in targets}
    for target in targets:
        inside = below(target, MAX_OBJECTS + 1 - len(objects))
        objects.update({one.pk: type(one) for one in inside})
    people = {change.who.pk: change.who for change in changes}
    for change in changes:
        if change.verb == "transfer_ownership" and change.securable:
            people[change.securable.owner.pk] = change.securable.owner
    return Touched(objects, people)


def _rows(objects: dict[uuid.UUID, type[Securable]]) -> list[Securable]:
    """Read objects anew, in the order given; and what trains them."""
    found: dict[uuid.UUID, Securable] = {}
    for kind in dict.fromkeys(objects.values()):
        rows = with_chain(kind).filter(
            pk__in=[pk for pk, its in objects.items() if its is kind]
        )
        found.update({row.pk: row for row in rows})
    return with_partners([found[pk] for pk in objects if pk in found])
