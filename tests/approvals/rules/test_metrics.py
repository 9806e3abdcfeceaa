"""Rules about metrics: how they are written, and that in doubt nothing passes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.rules.metrics import contradiction, judge, parse
from core.errors import InvalidParameter


@pytest.mark.parametrize(
    ("text", "value", "is_met"),
    [
        ("accuracy >= 0.92", 0.92, True),
        ("accuracy >= 0.92", 0.9199, False),
        ("accuracy>0.92", 0.92, False),
        ("val/loss < 1e-1", 0.05, True),
        ("loss <= .1", 0.2, False),
    ],
)
def test_fixed_thresholds(text: str, value: float, is_met: bool) -> None:
    rule = parse(text)
    assert judge(rule, {rule.metric: value}, None).is_met is is_met


@pytest.mark.parametrize(
    ("text", "value", "is_met"),
    [
        ("m not worse than Champion by 0.01", 0.91, True),
        ("m not worse than Champion by 0.01", 0.9099, False),
        ("m not worse than Champion", 0.92, True),
        ("m not worse than Champion by 0.01, lower is better", 0.93, True),
        ("m not worse than Champion by 0.01, lower is better", 0.9301, False),
    ],
)
def test_comparison_with_the_champion(text: str, value: float, is_met: bool) -> None:
    judged = judge(parse(text), {"m": value}, {"m": 0.92}, "Champion (version 1)")
    assert judged.is_met is is_met
    assert "Champion (version 1) has 0.92" in judged.words


def test_first_version_has_nothing_to_be_worse_than() -> None:
    judged = judge(parse("m not worse than Champion"), {"m": 0.1}, None)
    assert judged.is_met
    assert "Champion is not set yet" in judged.words


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 1.7976931348623157e308]
)
@pytest.mark.parametrize("text", ["m >= 0", "m <= 0", "m > 0", "m < 0"])
def test_what_is_no_number_never_passes(text: str, value: float) -> None:
    assert not judge(parse(text), {"m": value}, None).is_met


@pytest.mark.parametrize("baseline", [{}, {"m": math.nan}])
def test_champion_without_the_metric_is_unmet(baseline: dict[str, float]) -> None:
    rule = parse("m not worse than Champion")
    judged = judge(rule, {"m": 1.0}, baseline, "Champion (version 1)")
    assert not judged.is_met
    assert "Champion (version 1)" in judged.words


def test_missing_metric_is_said() -> None:
    words = judge(parse("accuracy >= 0.9"), {}, None).words
    assert words == "metric accuracy >= 0.9: no metric accuracy is recorded for it"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "accuracy",
        "accuracy >= much",
        "accuracy == 1",
        "m >= 1e999",
        ">= 1",
        "m not worse than Champion by -0.1",
        "m not worse than",
        "a\u0000 >= 1",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="metrics"):
        parse(text)


@settings(deadline=None)
@given(st.integers(-9, 9), st.integers(-9, 9), st.sampled_from(["<", "<="]))
def test_contradiction_is_found(low: int, high: int, below: str) -> None:
    rules = [parse(f"m >= {low}"), parse(f"m {below} {high}")]
    halves = [number / 2 for number in range(-20, 21)]
    possible = any(all(judge(r, {"m": n}, None).is_met for r in rules) for n in halves)
    assert (contradiction(rules) == "") is possible
