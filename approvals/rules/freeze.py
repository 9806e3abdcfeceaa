"""Windows of time in which nothing moves, in the time zone of the people.

A window is weekly, `{"days": ["fri"], "from": "16:00", "to": "24:00", "zone":
"Europe/Berlin"}`, or dated, `{"from": "2026-12-24", "to": "2027-01-01", "zone": …}`.
Both are held to the wall clock: on the day when clocks change, a window begins when
they first show `from` and ends when they last show `to`.

No library on PyPI was found that answers "until when" for both; dateutil's rrule
repeats wall times and leaves the change of clocks to the caller.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.errors import InvalidParameter

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"(\d\d):(\d\d)", re.ASCII)
_MAX_NAME = 100
_DAY = dt.timedelta(days=1)
_SECOND = dt.timedelta(seconds=1)
# how far a freeze is followed
_HORIZON = 366 * _DAY


@dataclass(frozen=True)
class Span:
    """One stretch of time, the end not in it."""

    start: dt.datetime
    end: dt.datetime


@dataclass(frozen=True)
class Freeze:
    """A parsed window; `days` is empty for a dated one."""

    zone: ZoneInfo
    days: frozenset[int]
    # minutes since midnight, for a weekly one
    opens: int = 0
    closes: int = 0
    # wall times, for a dated one
    begins: dt.datetime | None = None
    ends: dt.datetime | None = None
    name: str = ""

    def covers(self, moment: dt.datetime) -> bool:
        """Tell whether a moment lies in the window."""
        return any(s.start <= moment < s.end for s in self.spans_near(moment))

    def spans_near(self, moment: dt.datetime) -> Iterator[Span]:
        """Yield the stretches that may cover a moment."""
        if self.begins and self.ends:
            yield _span(self.begins, self.ends, self.zone)
            return
        today = moment.astimezone(self.zone).date()
        for ago in (2, 1, 0, -1):
            day = today - ago * _DAY
            if day.weekday() in self.days:
                midnight = dt.datetime.combine(day, dt.time())
                yield _span(
                    midnight + dt.timedelta(minutes=self.opens),
                    midnight + dt.timedelta(minutes=self.closes),
                    self.zone,
                )


def parse(given: Any) -> Freeze:
    """Read a window. Raises InvalidParameter that names the field and the fix."""
    if not isinstance(given, Mapping):
        raise InvalidParameter("freezes must be a list of objects.")
    if unknown := sorted(given.keys() - {"days", "from", "to", "zone", "name"}):
        raise InvalidParameter(
            f"freezes: there is no {unknown[0]!r}; a window has days, from, to, zone "
            "and name."
        )
    zone, name = _zone(given.get("zone")), str(given.get("name", ""))
    if len(name) > _MAX_NAME:
        raise InvalidParameter(f"freezes: name has at most {_MAX_NAME} characters.")
    if "days" in given:
        return _weekly(given, zone, name)
    begins = _wall(given.get("from"), "from")
    ends = _wall(given.get("to"), "to")
    if len(str(given["to"])) == len("2026-12-24"):
        ends += _DAY  # a day that is named is in it
    if ends <= begins:
        raise InvalidParameter("freezes: to must come after from.")
    return Freeze(zone, frozenset(), begins=begins, ends=ends, name=name)


def frozen_until(freezes: Sequence[Freeze], moment: dt.datetime) -> dt.datetime | None:
    """Return when the freeze at a moment ends; None when there is none.

    Windows that touch are one. A freeze is not followed for more than a year past
    the last dated window: what is still frozen then has no end.
    """
    until, limit = moment, _limit(freezes, moment)
    while until < limit:
        ends = [
            span.end
            for freeze in freezes
            for span in freeze.spans_near(until)
            if span.start <= until < span.end
        ]
        if not ends:
            return until if until > moment else None
        until = max(ends)
    return until


def never_ends(freezes: Sequence[Freeze], moment: dt.datetime) -> bool:
    """Tell whether the windows leave no moment free."""
    until = frozen_until(freezes, moment)
    return until is not None and until >= _limit(freezes, moment)


def _limit(freezes: Sequence[Freeze], moment: dt.datetime) -> dt.datetime:
    last = [_last(freeze.ends, freeze.zone) for freeze in freezes if freeze.ends]
    return max([moment, *last]) + _HORIZON


def _weekly(given: Mapping[str, Any], zone: ZoneInfo, name: str) -> Freeze:
    days = given["days"]
    if not isinstance(days, list) or not days or not all(day in DAYS for day in days):
        raise InvalidParameter(f"freezes: days must be some of {', '.join(DAYS)}.")
    opens, closes = _minutes(given.get("from", "")), _minutes(given.get("to", ""))
    if opens == 24 * 60:
        raise InvalidParameter("freezes: from must be before 24:00.")
    if closes <= opens:
        closes += 24 * 60  # until that time of the next day
    return Freeze(zone, frozenset(map(DAYS.index, days)), opens, closes, name=name)


def _minutes(text: Any) -> int:
    found = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    minutes = int(found[1]) * 60 + int(found[2]) if found else -1
    if found is None or minutes > 24 * 60 or int(found[2]) > 59:
        raise InvalidParameter(
            "freezes: from and to of a weekly window are times such as 16:00 or 24:00."
        )
    return minutes


def _wall(text: Any, field: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise InvalidParameter(
            f"freezes: {field} must be a day such as 2026-12-24, or a day and time such "
            "as 2026-12-24T12:00; or add days to repeat it every week."
        ) from error
    if found.tzinfo or not dt.MINYEAR + 1 < found.year < dt.MAXYEAR - 1:
        raise InvalidParameter(f"freezes: {field} has no offset; the zone says it.")
    return found


def _zone(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise InvalidParameter(
            "freezes: zone must be a name such as Europe/Berlin or UTC."
        ) from error


def _span(begins: dt.datetime, ends: dt.datetime, zone: ZoneInfo) -> Span:
    return Span(_first(begins, zone), _last(ends, zone))


def _first(wall: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return when clocks first show a wall time, or first are past it."""
    before, after = _both(wall, zone)
    return before if before <= after else _change(after, before, zone)


def _last(wall: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return when clocks last show a wall time, or first are past it."""
    before, after = _both(wall, zone)
    return after if before <= after else _change(after, before, zone)


def _both(wall: dt.datetime, zone: ZoneInfo) -> tuple[dt.datetime, dt.datetime]:
    """Return a wall time by the offset before and after a change; mostly the same."""
    at = wall.replace(tzinfo=zone)
    return at.replace(fold=0).astimezone(dt.UTC), at.replace(fold=1).astimezone(dt.UTC)


def _change(low: dt.datetime, high: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return the moment between two at which clocks jump over a wall time."""
    after = high.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == after:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)
