"""What somebody wants a policy to say, before it is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from access.models import PrincipalKind, User
from access.securables import Securable
from approvals.models import Policy
from approvals.plans import check_plan
from approvals.policies import scope_field
from approvals.rules import freeze, metrics
from core.errors import InvalidParameter

WEEK_SECONDS = 7 * 24 * 3600
YEAR_SECONDS = 366 * 24 * 3600
_MAX_RULES, _MAX_CHECKS, _MAX_METRICS, _MAX_FREEZES = 10, 50, 50, 20
_MAX_PRINCIPALS, _MAX_NEEDED, _MAX_TICKET = 100, 100, 100


@dataclass(frozen=True)
class ReviewerRule:
    """How many of whom must approve; of nobody by name is whoever holds APPROVE."""

    needed: int = 1
    principals: tuple[User, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {"needed": self.needed, "principals": _named(self.principals)}


@dataclass(frozen=True)
class CheckRule:
    """A check that must be green, how young its report, and whose."""

    name: str
    max_age_seconds: int | None = None
    reporter: User | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "max_age_seconds": self.max_age_seconds,
            "reporter": _named([self.reporter])[0] if self.reporter else None,
        }


@dataclass(frozen=True)
class Bypass:
    """Who may go past the policy, besides admins, and how they must say why."""

    principals: tuple[User, ...] = ()
    min_reason_length: int = 1
    # a glob: `CHG-*`
    ticket_pattern: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "principals": _named(self.principals),
            "min_reason_length": self.min_reason_length,
            "ticket_pattern": self.ticket_pattern,
        }


@dataclass(frozen=True)
class Draft:
    """All that a policy says; the defaults ask for one approval."""

    alias_pattern: str
    rules: tuple[ReviewerRule, ...] = (ReviewerRule(),)
    distinct_reviewers: bool = True
    rejects_needed: int = 1
    checks: tuple[CheckRule, ...] = ()
    metrics: tuple[str, ...] = ()
    wait_seconds: int = 0
    expires_after_seconds: int = WEEK_SECONDS
    freezes: tuple[dict[str, Any], ...] = ()
    cooling_seconds: int = 0
    callback_may_approve: bool = False
    bypass: Bypass = Bypass()
    rollout_plan: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    def as_policy(self, scope: Securable) -> Policy:
        """Return the policy that this would be, not saved."""
        return Policy(
            **{scope_field(scope): scope},
            alias_pattern=self.alias_pattern,
            rules=[rule.as_json() for rule in self.rules],
            distinct_reviewers=self.distinct_reviewers,
            rejects_needed=self.rejects_needed,
            checks=[check.as_json() for check in dict.fromkeys(self.checks)],
            metrics=list(dict.fromkeys(self.metrics)),
            wait_seconds=self.wait_seconds,
            expires_after_seconds=self.expires_after_seconds,
            freezes=list(self.freezes),
            cooling_seconds=self.cooling_seconds,
            callback_may_approve=self.callback_may_approve,
            bypass=self.bypass.as_json(),
            rollout_plan=self.rollout_plan,
            note=self.note,
        )


def check(draft: Draft) -> None:
    """Make sure that each field makes sense by itself. Raises InvalidParameter."""
    if not draft.alias_pattern.strip() or len(draft.alias_pattern) > 255:
        raise InvalidParameter(
            "alias_pattern must name an alias, such as Champion or prod-*."
        )
    _check_rules(draft)
    _check_checks(draft.checks)
    for text in _bounded("metrics", draft.metrics, _MAX_METRICS):
        metrics.parse(text)
    for window in _bounded("freezes", draft.freezes, _MAX_FREEZES):
        freeze.parse(window)
    _between("expires_after_seconds", draft.expires_after_seconds, 60, YEAR_SECONDS)
    _between("wait_seconds", draft.wait_seconds, 0, YEAR_SECONDS)
    _between("cooling_seconds", draft.cooling_seconds, 0, YEAR_SECONDS)
    _check_bypass(draft.bypass)
    check_plan(draft.rollout_plan)


def _check_rules(draft: Draft) -> None:
    if not draft.rules:
        raise InvalidParameter("rules must ask for at least one approval.")
    for rule in _bounded("rules", draft.rules, _MAX_RULES):
        if rule.needed < 1:
            raise InvalidParameter("approvals_needed: each rule needs at least 1.")
        _between("approvals_needed", rule.needed, 1, _MAX_NEEDED)
        _bounded("reviewers", rule.principals, _MAX_PRINCIPALS)
    _between("rejects_needed", draft.rejects_needed, 1, _MAX_NEEDED)


def _check_checks(checks: tuple[CheckRule, ...]) -> None:
    names = [check.name for check in _bounded("checks", checks, _MAX_CHECKS)]
    if not all(name.strip() and len(name) <= 200 for name in names):
        raise InvalidParameter("checks: a name has 1 to 200 characters.")
    if len(set(names)) < len(set(checks)):
        raise InvalidParameter("checks: a name is given twice, with different rules.")
    for check in checks:
        if check.max_age_seconds is not None:
            _between("checks: max_age_seconds", check.max_age_seconds, 1, YEAR_SECONDS)
        if check.reporter and check.reporter.kind != PrincipalKind.SERVICE:
            raise InvalidParameter(
                f"checks: {check.reporter.username} is a {check.reporter.kind}; a "
                "reporter must be a service principal."
            )


def _check_bypass(bypass: Bypass) -> None:
    _bounded("bypass.principals", bypass.principals, _MAX_PRINCIPALS)
    _between("bypass.min_reason_length", bypass.min_reason_length, 1, 1000)
    if len(bypass.ticket_pattern) > _MAX_TICKET:
        raise InvalidParameter(
            f"bypass.ticket_pattern has at most {_MAX_TICKET} characters."
        )


def _bounded(name: str, values: Any, most: int) -> Any:
    if len(values) > most:
        raise InvalidParameter(f"{name} has at most {most} entries.")
    return values


def _between(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidParameter(f"{name} must be from {low} to {high}.")


def _named(principals: Any) -> list[dict[str, str]]:
    return [{"id": str(one.pk), "name": one.username} for one in principals]
