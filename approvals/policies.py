"""Which policies protect an alias; create them."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from access.authz import require
from access.facts import principals_of
from access.models import User
from access.privileges import Privilege
from access.securables import Securable
from access.services import persons_of, require_admin
from approvals.models import ApprovalRequest, Policy
from approvals.shapes import PolicyJson
from core.errors import Conflict, InvalidParameter
from events.services import emit
from events.types import EventType
from registry.models import Catalog, RegisteredModel, Schema

_SCOPES: dict[type[Securable], str] = {
    Catalog: "catalog",
    Schema: "schema",
    RegisteredModel: "model",
}
_NEAREST = ("model", "schema", "catalog")
_MAX_CHECKS = 50


def find_policy(model: RegisteredModel, alias: str) -> Policy | None:
    """Return the nearest policy that protects an alias: model, schema, catalog."""
    return next(iter(policies_in_force(model, alias)), None)


def policies_in_force(model: RegisteredModel, alias: str) -> list[Policy]:
    """Return every policy that protects an alias, the nearest first.

    All of them must be satisfied, so that a nearer one can only tighten. Of one
    scope and pattern only the newest number is in force.
    """
    above = Q(model=model) | Q(schema=model.schema_id) | Q(catalog=model.schema.catalog)
    newest: dict[tuple[Any, ...], Policy] = {}
    for policy in _with_reviewers().filter(above).order_by("number"):
        newest[(_level(policy), policy.alias_pattern.lower())] = policy
    matching = [policy for policy in newest.values() if matches(policy, alias)]
    return sorted(
        matching, key=lambda policy: (_level(policy), -policy.created_at.timestamp())
    )


def policies_of(approval: ApprovalRequest) -> list[Policy]:
    """Return the policies that an open request must satisfy, the nearest first.

    Those that it was opened under and those in force now: tightening counts at
    once, loosening does not help a request that is open already.
    """
    now = policies_in_force(approval.model, approval.alias)
    known = {str(policy.id) for policy in now}
    opened_under = [
        entry["id"]
        for entry in approval.policy_snapshot["policies"]
        if entry["id"] not in known
    ]
    if not opened_under:
        return now
    return now + list(_with_reviewers().filter(pk__in=opened_under))


def matches(policy: Policy, alias: str) -> bool:
    """Tell whether a policy's pattern matches an alias, without regard to case."""
    return fnmatchcase(alias.lower(), policy.alias_pattern.lower())


def snapshot(policies: Sequence[Policy]) -> dict[str, Any]:
    """Return what a request keeps of the policies that it is opened under."""
    return {"policies": [policy_json(policy) for policy in policies]}


def policy_json(policy: Policy) -> PolicyJson:
    """Return a policy as plain values, for the wire and for snapshots."""
    return {
        "id": str(policy.id),
        "securable_type": _scope_name(policy),
        "full_name": policy.scope.full_name,
        "alias_pattern": policy.alias_pattern,
        "number": policy.number,
        "approvals_needed": policy.approvals_needed,
        "reviewers": reviewer_names(policy),
        "checks": policy.checks,
        "callback_may_approve": policy.callback_may_approve,
        "expires_after_seconds": policy.expires_after_seconds,
        "rollout_plan": policy.rollout_plan,
        "created_at": policy.created_at.isoformat(),
    }


def reviewer_names(policy: Policy) -> list[str]:
    """Return the names of the listed reviewers; empty means holders of APPROVE."""
    return sorted(reviewer.username for reviewer in policy.reviewers.all())


def lets_review(policy: Policy, principal: User) -> bool:
    """Tell whether a policy counts the decisions of a principal; groups are live."""
    reviewers = {reviewer.pk for reviewer in policy.reviewers.all()}
    return not reviewers or not reviewers.isdisjoint(principals_of(principal))


@transaction.atomic
def create_policy(
    scope: Securable,
    alias_pattern: str,
    *,
    approvals_needed: int = 1,
    checks: Sequence[str] = (),
    reviewers: Sequence[User] = (),
    callback_may_approve: bool = False,
    expires_after_seconds: int = 7 * 24 * 3600,
    rollout_plan: dict[str, Any] | None = None,
    principal: User,
) -> Policy:
    """Protect the aliases of a catalog, schema or model that match a pattern.

    The next number of the same scope and pattern replaces the one before it.
    Needs MANAGE of the scope, which its owner has; letting callbacks approve
    needs an admin. Raises InvalidParameter for a policy nobody could satisfy.
    """
    require(principal, Privilege.MANAGE, scope)
    if callback_may_approve:
        require_admin(principal)
    _check(alias_pattern, approvals_needed, checks, expires_after_seconds)
    _check_satisfiable(scope, approvals_needed, reviewers)
    fields = {
        _scope_field(scope): scope,
        "alias_pattern": alias_pattern,
        "approvals_needed": approvals_needed,
        "checks": list(dict.fromkeys(checks)),
        "callback_may_approve": callback_may_approve,
        "expires_after_seconds": expires_after_seconds,
        "rollout_plan": rollout_plan or {},
        "created_by": principal,
    }
    policy = _insert(scope, fields, reviewers)
    emit(
        EventType.POLICY_CREATED,
        policy,
        principal=principal,
        policy=policy_json(policy),
    )
    return policy


def _insert(
    scope: Securable, fields: dict[str, Any], reviewers: Sequence[User]
) -> Policy:
    same = Policy.objects.filter(
        **{_scope_field(scope): scope}, alias_pattern__iexact=fields["alias_pattern"]
    )
    last = same.order_by("-number").first()
    number = last.number + 1 if last else 1
    try:
        with transaction.atomic():
            policy = Policy.objects.create(number=number, **fields)
    except IntegrityError as error:
        raise Conflict(
            "Somebody changed this policy at the same moment; look again."
        ) from error
    policy.reviewers.set(reviewers)
    return policy


def _check(
    alias_pattern: str, approvals_needed: int, checks: Sequence[str], seconds: int
) -> None:
    if not alias_pattern.strip() or len(alias_pattern) > 255:
        raise InvalidParameter(
            "alias_pattern must name an alias, such as Champion or prod-*."
        )
    if approvals_needed < 1:
        raise InvalidParameter("approvals_needed must be at least 1.")
    if seconds < 60:
        raise InvalidParameter("expires_after_seconds must be at least 60.")
    if len(checks) > _MAX_CHECKS or not all(
        name.strip() and len(name) <= 200 for name in checks
    ):
        raise InvalidParameter(
            f"checks must be up to {_MAX_CHECKS} names of up to 200 characters."
        )


def _check_satisfiable(
    scope: Securable, approvals_needed: int, reviewers: Sequence[User]
) -> None:
    """Refuse a quorum that the listed persons could never reach."""
    if not reviewers:
        return
    persons = set().union(*(persons_of(reviewer) for reviewer in reviewers))
    if isinstance(scope, RegisteredModel):
        persons -= persons_of(scope.owner)
    able = User.objects.filter(pk__in=persons, is_active=True).count()
    if able < approvals_needed:
        raise InvalidParameter(
            f"Nobody could satisfy this policy: it needs {approvals_needed} "
            f"approvals, and its reviewers are {able} other active person(s) than "
            "the owner. Name more reviewers or ask for fewer approvals."
        )


def _with_reviewers() -> QuerySet[Policy]:
    rows = Policy.objects.select_related("catalog", "schema__catalog", "model")
    return rows.prefetch_related("reviewers")


def _scope_field(scope: Securable) -> str:
    for kind, field in _SCOPES.items():
        if isinstance(scope, kind):
            return field
    raise InvalidParameter("A policy protects a catalog, a schema or a model.")


def _scope_name(policy: Policy) -> str:
    return _NEAREST[_level(policy)]


def _level(policy: Policy) -> int:
    """Return how far a policy's scope is from the model: 0 is the model itself."""
    levels = (policy.model_id, policy.schema_id, policy.catalog_id)
    return next(level for level, scope in enumerate(levels) if scope)
