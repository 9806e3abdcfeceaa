"""What counts on an object, by principal: as granted there, and as it amounts to.

`access.listings` shows the same to people, with who granted it and until when.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db.models import Q

from access.authz import require_known
from access.facts import principals_of
from access.holdings import Holding, Holdings, circles_above
from access.listings import inherited_by
from access.models import User
from access.privileges import Privilege
from access.securables import Securable
from access.services.principals import get_principal
from access.ways import delegates, is_able, require_able


@dataclass(frozen=True)
class Right:
    """A privilege that counts on an object, and the container it comes from."""

    privilege: Privilege
    # None: granted on the object itself
    inherited_from: Securable | None = None


Rights = dict[str, list[Right]]  # by the name of the principal, in order


def direct_rights(securable: Securable, holder: str = "", *, principal: User) -> Rights:
    """Return what is granted on an object itself: to all, or to one principal.

    Who has no power over the object gets what it and its groups hold (rules P-18
    and P-19), and PermissionDenied when it asks about others.
    """
    require_known(principal, securable)
    condition = Q()
    if holder:
        condition = Q(user=_asked(holder, "see_grants", securable, principal))
    elif not is_able(principal, "see_grants", securable):
        condition = Q(user__in=principals_of(principal))
    return _direct(securable, condition)


def rights_of_some(securable: Securable, holders: Collection[str]) -> Rights:
    """Return what is granted on an object to some, for who just changed it.

    There is no check: a change may have taken the caller's own power away.
    """
    return _direct(securable, Q(user__username__in=holders))


def _direct(securable: Securable, condition: Q) -> Rights:
    held = _held(securable, condition)
    own = {who: [one for one in found if one[0] == 0] for who, found in held.items()}
    names = {who: found[0][1].holder.username for who, found in own.items() if found}
    return _sorted((name, _rights(securable, own[who])) for who, name in names.items())


def effective_rights(
    securable: Securable, holder: str = "", *, principal: User
) -> Rights:
    """Return what counts for principals on an object, wherever it is granted.

    That is on the object, on its containers, and to the groups they are in, nested
    ones too. ALL PRIVILEGES stays one, and ownership is no grant. Of oneself
    anybody may ask, of others who may see the grants (rule P-23).
    """
    require_known(principal, securable)
    if not holder and is_able(principal, "see_effective", securable):
        return _effective_of_all(securable)
    one = principal
    if holder:
        one = _asked(holder, "see_effective", securable, principal)
    circle = circles_above([one.pk]).of(one.pk)
    held = _counting(securable, Q(user__in=list(circle)))
    found = _rights(securable, [line for lines in held.values() for line in lines])
    return _sorted([(one.username, found)])


def _effective_of_all(securable: Securable) -> Rights:
    held = _counting(securable, Q())
    circles = circles_above(list(held))
    return _sorted(
        (
            found[0][1].holder.username,
            _rights(
                securable,
                [line for member in circles.of(who) for line in held.get(member, ())],
            ),
        )
        for who, found in list(held.items())
    )


def _asked(name: str, operation: str, securable: Securable, principal: User) -> User:
    """Return who is asked about: oneself, one's group, or with the right anybody."""
    mine = User.objects.filter(pk__in=principals_of(principal), username=name)
    if found := mine.first():
        return found
    require_able(principal, operation, securable)
    return get_principal(name)


_Lines = list[tuple[int, Holding]]  # (how many levels above the object, what is held)


def _counting(securable: Securable, condition: Q) -> dict[uuid.UUID, _Lines]:
    """Return the grants that mean something for an object, by holder."""
    meant = inherited_by(type(securable))
    if not delegates(securable):
        meant -= {Privilege.CREATE_MODEL_VERSION}
    held = _held(securable, condition)
    counting = {
        who: [(level, one) for level, one in lines if one.privilege in meant]
        for who, lines in held.items()
    }
    return {who: lines for who, lines in counting.items() if lines}


def _held(securable: Securable, condition: Q) -> dict[uuid.UUID, _Lines]:
    """Return the grants on an object and its containers; a query for each level."""
    holdings = Holdings([securable])
    holdings.read(condition)
    found: dict[uuid.UUID, _Lines] = defaultdict(list)
    for level, holding in holdings.on(securable):
        if holding.privilege != Privilege.OWN:
            found[holding.holder.id].append((level, holding))
    return dict(found)


def _rights(securable: Securable, lines: _Lines) -> list[Right]:
    """Return each privilege once for each place where it is granted, nearest first."""
    chain = Holdings([securable]).chains[securable.pk]
    places = {(level, holding.privilege) for level, holding in lines}
    return [
        Right(Privilege(privilege), chain[level] if level else None)
        for level, privilege in sorted(places)
    ]


def _sorted(found: Iterable[tuple[str, list[Right]]]) -> Rights:
    return {name: rights for name, rights in sorted(found, key=_name) if rights}


def _name(entry: tuple[str, list[Right]]) -> str:
    return entry[0]
