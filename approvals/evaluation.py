"""What a policy asks of a request, held against facts: of now, or of a past moment.

Reads nothing by itself but metrics, and those only for a policy that asks for them.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from approvals.models import Check, Policy
from approvals.policies import rules_for
from approvals.rules import freeze, metrics
from approvals.rules.quorum import everywhere, fill

APPROVALS, CHECK, METRIC, WAIT, FREEZE = (
    "approvals",
    "check",
    "metric",
    "wait",
    "freeze",
)


@dataclass(frozen=True)
class Condition:
    """One thing that a policy asks of a request, and whether it is so by now."""

    # approvals, check, metric, wait or freeze
    kind: str
    words: str
    is_met: bool
    have: int | None = None
    need: int | None = None
    # when it will be met by itself
    until: dt.datetime | None = None
    policy: str = ""


@dataclass(frozen=True)
class Vote:
    """An approval that counts: whose, and in which groups they are."""

    # None: all callbacks together are one
    person: uuid.UUID | None
    principals: frozenset[uuid.UUID] = frozenset()


@dataclass(frozen=True)
class Baseline:
    """What an alias points at, to be compared with."""

    name: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Facts:
    """All that is known of a request at a moment."""

    now: dt.datetime
    opened_at: dt.datetime
    votes: Sequence[Vote]
    # oldest first
    reports: Sequence[Check]
    candidate: Callable[[], Mapping[str, float]]
    # by the name of an alias; None when it points at nothing
    baseline: Callable[[str], Baseline | None]


def conditions_of(policy: Policy, facts: Facts) -> list[Condition]:
    """List what one policy asks, met or not."""
    found = _approvals(policy, facts.votes)
    found += [_check(policy, rule, facts) for rule in policy.checks]
    found += [_metric(policy, text, facts) for text in policy.metrics]
    if policy.wait_seconds:
        found.append(_wait(policy, facts))
    if policy.freezes:
        found.append(_freeze(policy, facts))
    return found


def _approvals(policy: Policy, votes: Sequence[Vote]) -> list[Condition]:
    able = {vote.person: _rules_of(policy, vote) for vote in votes}
    needed = [rule["needed"] for rule in policy.rules]
    if policy.distinct_reviewers:
        persons = fill(needed, able)
    else:
        persons = everywhere(len(needed), able)
    return [
        _quorum(policy, rule, len(counted))
        for rule, counted in zip(policy.rules, persons, strict=True)
    ]


def _rules_of(policy: Policy, vote: Vote) -> set[int]:
    if vote.person is None:
        return set(range(len(policy.rules))) if policy.callback_may_approve else set()
    return rules_for(policy, vote.principals)


def _quorum(policy: Policy, rule: dict[str, Any], have: int) -> Condition:
    need = rule["needed"]
    names = ", ".join(sorted(who["name"] for who in rule["principals"]))
    whom = f"one of {names}" if names else "somebody with APPROVE"
    missing = need - have
    if missing <= 0:
        words = f"{have} of {need} approvals by {whom}"
    elif missing == 1:
        words = f"1 more approval by {whom}"
    else:
        words = f"{missing} more approvals by {whom}"
    return Condition(
        APPROVALS, words, missing <= 0, have, need, policy=policy.full_name
    )


def _check(policy: Policy, rule: dict[str, Any], facts: Facts) -> Condition:
    name, reporter = rule["name"], rule["reporter"]
    reports = [
        one
        for one in facts.reports
        if one.name == name
        and (reporter is None or str(one.reported_by_id) == reporter["id"])
    ]
    report = reports[-1] if reports else None
    problem = _problem(rule, report, facts.now)
    words = f"check {name} {problem}" if problem else f"check {name} passed"
    return Condition(CHECK, words, not problem, policy=policy.full_name)


def _problem(rule: dict[str, Any], report: Check | None, now: dt.datetime) -> str:
    if report is None:
        if reporter := rule["reporter"]:
            return f"has not been reported by {reporter['name']}"
        return "has not reported"
    if not report.passed:
        return "failed" + (f": {report.comment}" if report.comment else "")
    oldest = rule["max_age_seconds"]
    if oldest is not None and now - report.reported_at > dt.timedelta(seconds=oldest):
        return (
            f"is stale: it reported at {_moment(report.reported_at)} and holds for "
            f"{say_seconds(oldest)}; report it again"
        )
    return ""


def _metric(policy: Policy, text: str, facts: Facts) -> Condition:
    rule = metrics.parse(text)
    baseline = facts.baseline(rule.alias) if rule.alias else None
    judged = metrics.judge(
        rule,
        facts.candidate(),
        baseline.metrics if baseline else None,
        baseline.name if baseline else "",
    )
    return Condition(METRIC, judged.words, judged.is_met, policy=policy.full_name)


def _wait(policy: Policy, facts: Facts) -> Condition:
    until = facts.opened_at + dt.timedelta(seconds=policy.wait_seconds)
    long = say_seconds(policy.wait_seconds)
    if facts.now >= until:
        return Condition(WAIT, f"{long} have passed", True, policy=policy.full_name)
    words = f"{long} must pass, until {_moment(until)}"
    return Condition(WAIT, words, False, until=until, policy=policy.full_name)


def _freeze(policy: Policy, facts: Facts) -> Condition:
    windows = [freeze.parse(window) for window in policy.freezes]
    until = freeze.frozen_until(windows, facts.now)
    if until is None:
        return Condition(FREEZE, "no freeze now", True, policy=policy.full_name)
    names = dict.fromkeys(
        one.name for one in windows if one.name and one.covers(facts.now)
    )
    named = f" ({', '.join(names)})" if names else ""
    words = f"frozen{named} until {_moment(until.astimezone(windows[0].zone))}"
    return Condition(FREEZE, words, False, until=until, policy=policy.full_name)


def _moment(moment: dt.datetime) -> str:
    return f"{moment:%-d %B %Y, %H:%M} {moment.tzname()}"


def say_seconds(seconds: int) -> str:
    """Return a duration in the largest unit that divides it, in words."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds % size == 0 and seconds:
            count = seconds // size
            return f"{count} {unit}" + ("s" if count != 1 else "")
    return f"{seconds} second" + ("s" if seconds != 1 else "")
