"""Rules about recorded metrics: `accuracy >= 0.92`, `loss not worse than Champion by 0.01`.

A rule is kept as the text that was written. What is missing, not a number or
infinite never passes.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import InvalidParameter

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NAME = r"[\w./: -]{1,250}?"
_THRESHOLD = re.compile(rf"({_NAME})\s*(>=|<=|>|<)\s*({_NUMBER})")
_COMPARISON = re.compile(
    rf"({_NAME}) not worse than ([A-Za-z][\w-]{{0,254}})"
    rf"(?: by ({_NUMBER}))?(, lower is better)?"
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
# MLflow records an infinity as the largest number that there is
_LARGEST = 1.7976931348623157e308


@dataclass(frozen=True)
class MetricRule:
    """One parsed rule; with an `alias` it compares, else it has a fixed threshold."""

    text: str
    metric: str
    comparison: str
    number: float
    alias: str = ""

    def bar(self, baseline: float) -> float:
        """Return what the candidate has to reach, given what the alias reached."""
        if not self.alias:
            return self.number
        sign = 1 if self.comparison == "<=" else -1
        return baseline + sign * self.number


@dataclass(frozen=True)
class Judgement:
    """Whether a rule holds, and that in words."""

    words: str
    is_met: bool


def parse(text: str) -> MetricRule:
    """Read a rule. Raises InvalidParameter that shows how one is written."""
    text = " ".join(text.split())
    if found := _COMPARISON.fullmatch(text):
        metric, alias, margin, lower = found.groups()
        comparison = "<=" if lower else ">="
        return MetricRule(text, metric, comparison, _margin(margin, text), alias)
    if found := _THRESHOLD.fullmatch(text):
        metric, comparison, number = found.groups()
        return MetricRule(text, metric, comparison, _finite(number, text))
    raise InvalidParameter(
        f"metrics: {text[:200]!r} is no rule. Write `accuracy >= 0.92` (or >, <=, <), "
        "`accuracy not worse than Champion by 0.01`, or `loss not worse than Champion "
        "by 0.01, lower is better`."
    )


def judge(
    rule: MetricRule,
    candidate: Mapping[str, float],
    baseline: Mapping[str, float] | None,
    baseline_name: str = "",
) -> Judgement:
    """Tell whether a candidate's metrics satisfy a rule.

    `baseline` are the metrics of what the alias points at; None when it points at
    nothing, and then there is nothing to be worse than.
    """
    value = candidate.get(rule.metric)
    if value is None:
        return _unmet(rule, f"no metric {rule.metric} is recorded for it")
    if not is_usable(value):
        return _unmet(rule, f"{rule.metric} is {_say(value)}")
    if rule.alias and baseline is None:
        words = f"metric {rule.text}: {_say(value)}, and {rule.alias} is not set yet"
        return Judgement(words, True)
    reached = 0.0
    if rule.alias and baseline is not None:
        found = baseline.get(rule.metric)
        if found is None:
            return _unmet(
                rule, f"no metric {rule.metric} is recorded for {baseline_name}"
            )
        if not is_usable(found):
            return _unmet(rule, f"{rule.metric} of {baseline_name} is {_say(found)}")
        reached = found
    beside = f", {baseline_name} has {_say(reached)}" if rule.alias else ""
    said = f"metric {rule.text}: {_say(value)}{beside}"
    return Judgement(said, _holds(rule, value, reached))


def contradiction(rules: Sequence[MetricRule]) -> str:
    """Say which two fixed rules no number satisfies, or return an empty string."""
    fixed = [rule for rule in rules if not rule.alias]
    for low in (rule for rule in fixed if rule.comparison in (">=", ">")):
        for high in (rule for rule in fixed if rule.comparison in ("<=", "<")):
            if low.metric == high.metric and not _overlap(low, high):
                return f"no number is both {low.text} and {high.text}"
    return ""


def is_usable(value: float) -> bool:
    """Tell whether a recorded value is a number that can be compared."""
    return math.isfinite(value) and abs(value) < _LARGEST


def _overlap(low: MetricRule, high: MetricRule) -> bool:
    if low.number == high.number:
        return (low.comparison, high.comparison) == (">=", "<=")
    return low.number < high.number


def _holds(rule: MetricRule, value: float, reached: float) -> bool:
    bar = rule.bar(reached)
    if rule.alias and math.isclose(value, bar, rel_tol=1e-12, abs_tol=1e-15):
        return True  # 0.91 is not worse than 0.92 by 0.01, whatever binary says
    return _COMPARE[rule.comparison](value, bar)


def _unmet(rule: MetricRule, why: str) -> Judgement:
    return Judgement(f"metric {rule.text}: {why}", False)


def _say(value: float) -> str:
    if abs(value) >= _LARGEST:
        return "infinite"
    return "not a number" if math.isnan(value) else f"{value:.6g}"


def _finite(number: str, text: str) -> float:
    value = float(number)
    if not is_usable(value):
        raise InvalidParameter(f"metrics: the number in {text[:200]!r} is too large.")
    return value


def _margin(number: str | None, text: str) -> float:
    value = _finite(number or "0", text)
    if value < 0:
        raise InvalidParameter(f"metrics: the margin in {text[:200]!r} is negative.")
    return value
