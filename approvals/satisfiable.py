"""Refuse a policy that nobody could satisfy, and say why."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.utils import timezone

from access.models import User
from access.securables import Securable
from access.services import persons_of
from approvals.drafts import CheckRule, Draft, ReviewerRule
from approvals.models import Policy
from approvals.policies import policies_around
from approvals.rules import freeze, metrics
from approvals.rules.quorum import fill
from core.errors import InvalidParameter
from registry.models import RegisteredModel


def require_satisfiable(scope: Securable, draft: Draft) -> None:
    """Let only a policy through that a request could satisfy.

    Policies of the scopes above that protect the same aliases count too: all hold
    together. Raises InvalidParameter.
    """
    around = policies_around(scope, draft.alias_pattern)
    why = (
        _why_no_quorum(scope, draft)
        or _why_no_report(scope, draft.checks)
        or _why_no_number(draft, around)
        or _why_never(draft, around)
    )
    if why:
        raise InvalidParameter(f"Nobody could satisfy this policy: {why}")


def _why_no_quorum(scope: Securable, draft: Draft) -> str:
    """Say which rules the listed persons cannot fill; callbacks are no persons."""
    owners = persons_of(scope.owner) if isinstance(scope, RegisteredModel) else set()
    listed = [(rule, _able(rule, owners)) for rule in draft.rules if rule.principals]
    for rule, persons in listed:
        if len(persons) < rule.needed:
            return (
                f"{_said(rule)} are needed, and its reviewers are {len(persons)} other "
                "active person(s) than the owner. Name more reviewers or ask for fewer "
                "approvals."
            )
    if not draft.distinct_reviewers:
        return ""
    able = {
        person: {at for at, (_, who) in enumerate(listed) if person in who}
        for person in sorted(set().union(*(who for _, who in listed)))
    }
    filled = fill([rule.needed for rule, _ in listed], able)
    short = sum(rule.needed for rule, _ in listed) - sum(map(len, filled))
    if not short:
        return ""
    names = " and ".join(_said(rule) for rule, _ in listed)
    return (
        f"{names} are needed from different persons, and the {len(able)} that may are "
        f"{short} too few: they are in the same groups. Name more reviewers, or let "
        "one person count for several rules (distinct_reviewers: false)."
    )


def _able(rule: ReviewerRule, owners: set[uuid.UUID]) -> set[uuid.UUID]:
    persons = set().union(*(persons_of(one) for one in rule.principals)) - owners
    active = User.objects.filter(pk__in=persons, is_active=True)
    return set(active.values_list("pk", flat=True))


def _said(rule: ReviewerRule) -> str:
    return f"{rule.needed} of {', '.join(one.username for one in rule.principals)}"


def _why_no_report(scope: Securable, checks: Sequence[CheckRule]) -> str:
    for check in checks:
        reporter = check.reporter
        if reporter is None:
            continue
        if not (reporter.is_active and reporter.person.is_active):
            return f"{reporter.username}, who reports {check.name}, is switched off."
        if isinstance(scope, RegisteredModel) and reporter.person.pk in persons_of(
            scope.owner
        ):
            return (
                f"{reporter.username}, who reports {check.name}, belongs to the owner "
                f"of {scope.full_name}, and nobody vouches for their own version."
            )
    return ""


def _why_no_number(draft: Draft, around: Sequence[Policy]) -> str:
    texts = [*draft.metrics, *(text for one in around for text in one.metrics)]
    found = metrics.contradiction([metrics.parse(text) for text in texts])
    return f"{found}." if found else ""


def _why_never(draft: Draft, around: Sequence[Policy]) -> str:
    """Say why the time to apply a request never comes."""
    wait = max([draft.wait_seconds, *(one.wait_seconds for one in around)])
    expiry = min(
        [draft.expires_after_seconds, *(one.expires_after_seconds for one in around)]
    )
    if wait >= expiry:
        return (
            f"a request waits {wait} seconds and expires after {expiry}. Wait less "
            "(wait_seconds) or let it live longer (expires_after_seconds)."
        )
    windows = [*draft.freezes, *(window for one in around for window in one.freezes)]
    if freeze.never_ends([freeze.parse(one) for one in windows], timezone.now()):
        return "its freeze windows never end. Leave some time of the week free."
    return ""
