"""Freeze windows: by the wall clock, whatever it does."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.rules.freeze import DAYS, frozen_until, never_ends, parse
from core.errors import InvalidParameter

BERLIN = ZoneInfo("Europe/Berlin")
FRIDAY = {"days": ["fri"], "from": "16:00", "to": "24:00", "zone": "Europe/Berlin"}


def _berlin(text: str, fold: int = 0) -> dt.datetime:
    wall = dt.datetime.fromisoformat(text)
    return wall.replace(tzinfo=BERLIN, fold=fold).astimezone(dt.UTC)


def _weekly(days: str, opens: str, closes: str) -> dict[str, Any]:
    return {**FRIDAY, "days": days.split(), "from": opens, "to": closes}


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2026-07-17T15:59:59", None),
        ("2026-07-17T16:00", "2026-07-18T00:00"),
        ("2026-07-17T23:59:59", "2026-07-18T00:00"),
        ("2026-07-18T00:00", None),
        ("2026-01-16T16:00", "2026-01-17T00:00"),
    ],
)
def test_friday_evening_in_berlin(moment: str, until: str | None) -> None:
    found = frozen_until([parse(FRIDAY)], _berlin(moment))
    assert found == (_berlin(until) if until else None)


def test_windows_that_touch_are_one_freeze() -> None:
    weekend = [
        FRIDAY,
        _weekly("sat sun", "00:00", "24:00"),
        _weekly("mon", "00:00", "08:00"),
    ]
    found = frozen_until([parse(one) for one in weekend], _berlin("2026-07-17T20:00"))
    assert found == _berlin("2026-07-20T08:00")


def test_night_goes_on_until_the_next_morning() -> None:
    night = [parse(_weekly("fri", "22:00", "06:00"))]
    assert frozen_until(night, _berlin("2026-07-18T05:00")) == _berlin(
        "2026-07-18T06:00"
    )
    assert frozen_until(night, _berlin("2026-07-17T05:00")) is None


def test_dated_window_includes_the_day_it_names() -> None:
    year_end = {"from": "2026-12-24", "to": "2027-01-01", "zone": "Europe/Berlin"}
    freeze = [parse(year_end)]
    assert frozen_until(freeze, _berlin("2026-12-23T23:59:59")) is None
    assert frozen_until(freeze, _berlin("2026-12-24T00:00")) == _berlin(
        "2027-01-02T00:00"
    )


def test_window_that_opens_in_the_hour_that_there_is_not() -> None:
    # 29 March 2026: 02:00 becomes 03:00
    spring = [parse(_weekly("sun", "02:30", "04:00"))]
    assert frozen_until(spring, _berlin("2026-03-29T01:59:59")) is None
    assert frozen_until(spring, _berlin("2026-03-29T03:00")) == _berlin(
        "2026-03-29T04:00"
    )


def test_window_that_closes_in_the_hour_that_there_is_not() -> None:
    spring = [parse(_weekly("sun", "01:00", "02:30"))]
    found = frozen_until(spring, _berlin("2026-03-29T01:30"))
    assert (
        found
        == _berlin("2026-03-29T03:00")
        == dt.datetime(2026, 3, 29, 1, tzinfo=dt.UTC)
    )


def test_hour_that_comes_twice_is_frozen_twice() -> None:
    # 25 October 2026: 03:00 becomes 02:00
    autumn = [parse(_weekly("sun", "02:15", "02:45"))]
    opens, closes = _berlin("2026-10-25T02:15"), _berlin("2026-10-25T02:45", fold=1)
    assert frozen_until(autumn, opens) == closes
    assert frozen_until(autumn, _berlin("2026-10-25T02:50")) == closes
    assert frozen_until(autumn, closes) is None


@settings(deadline=None)
@given(
    days=st.sets(st.sampled_from(DAYS), min_size=1),
    opens=st.integers(0, 1439),
    closes=st.integers(1, 1440),
    at=st.datetimes(*map(dt.datetime.fromisoformat, ("2024-01-01", "2028-01-01"))),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"]),
)
def test_frozen_is_what_the_wall_clock_says(
    days: set[str], opens: int, closes: int, at: dt.datetime, zone: str
) -> None:
    """Compared with reading the clock, away from the hours that it jumps over."""
    moment = at.replace(tzinfo=dt.UTC, microsecond=0)
    hour = dt.timedelta(hours=1)
    near = {
        (moment + n * hour).astimezone(ZoneInfo(zone)).utcoffset() for n in (-48, 48)
    }
    window = {
        "days": sorted(days),
        "from": f"{opens // 60:02}:{opens % 60:02}",
        "to": f"{closes // 60:02}:{closes % 60:02}",
        "zone": zone,
    }
    until = frozen_until([parse(window)], moment)
    if len(near) == 1:
        assert (until is not None) is _shows(window, moment)
        if until and not never_ends([parse(window)], moment):
            assert not _shows(window, until)
            assert _shows(window, until - dt.timedelta(seconds=1))
    if until:
        assert until > moment


def _shows(window: dict[str, Any], moment: dt.datetime) -> bool:
    local = moment.astimezone(ZoneInfo(window["zone"]))
    clock = local.strftime("%H:%M")
    today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    if window["from"] < window["to"]:
        return today in window["days"] and window["from"] <= clock < window["to"]
    return (today in window["days"] and clock >= window["from"]) or (
        yesterday in window["days"] and clock < window["to"]
    )


@pytest.mark.parametrize(
    "windows",
    [
        [_weekly("mon tue wed thu fri sat sun", "00:00", "24:00")],
        [_weekly("mon tue wed thu fri sat sun", "08:00", "08:00")],
        [
            _weekly("mon tue wed thu fri sat sun", "00:00", "24:00"),
            {"from": "2026-01-01", "to": "2029-01-01", "zone": "UTC"},
        ],
    ],
)
def test_freeze_without_end_is_seen(windows: list[dict[str, Any]]) -> None:
    assert never_ends([parse(one) for one in windows], _berlin("2026-07-17T12:00"))


def test_long_freeze_that_ends_does_not_count_as_endless() -> None:
    years = [parse({"from": "2026-01-01", "to": "2029-01-01", "zone": "UTC"})]
    assert not never_ends(years, _berlin("2026-07-17T12:00"))


@pytest.mark.parametrize(
    "wrong",
    [
        "weekend",
        {"days": ["fri"], "from": "16:00", "to": "24:00"},
        {**FRIDAY, "zone": "Europe/Bielefeld"},
        {**FRIDAY, "zone": "../../etc/passwd"},
        {**FRIDAY, "zone": 7},
        {**FRIDAY, "days": ["friday"]},
        {**FRIDAY, "days": []},
        {**FRIDAY, "days": [["fri"]]},
        {**FRIDAY, "from": "4pm"},
        {**FRIDAY, "from": "24:00"},
        {**FRIDAY, "to": "24:01"},
        {**FRIDAY, "until": "24:00"},
        {"from": "2026-12-24", "to": "2026-12-23", "zone": "UTC"},
        {"from": "2026-12-24T00:00+02:00", "to": "2026-12-25", "zone": "UTC"},
        {"from": 7, "to": "2026-12-25", "zone": "UTC"},
        {"from": "0001-01-01", "to": "2026-12-25", "zone": "UTC"},
        {"zone": "UTC"},
    ],
)
def test_what_is_no_window_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidParameter, match="freezes"):
        parse(wrong)
