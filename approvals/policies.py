"""Which policies protect an alias, and what each says."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence, Set
from fnmatch import fnmatchcase
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from access.securables import Securable
from approvals.models import OPEN, ApprovalRequest, Policy
from approvals.shapes import PolicyJson
from core.errors import InvalidParameter
from core.prepared import Prepared
from registry.models import Catalog, RegisteredModel, Schema

_SCOPES: dict[type[Securable], str] = {
    Catalog: "catalog",
    Schema: "schema",
    RegisteredModel: "model",
}
_NEAREST = ("model", "schema", "catalog")


# asked of every alias that is set
_OF_SCOPES = Prepared[Policy](
    lambda model_id, schema_id, catalog_id: (
        _rows()
        .filter(Q(model=model_id) | Q(schema=schema_id) | Q(catalog=catalog_id))
        .order_by("number")
    ),
    UUID,
    UUID,
    UUID,
)


def find_policy(model: RegisteredModel, alias: str) -> Policy | None:
    """Return the nearest policy that protects an alias: model, schema, catalog."""
    return next(iter(policies_in_force(model, alias)), None)


def policies_in_force(model: RegisteredModel, alias: str) -> list[Policy]:
    """Return every policy that protects an alias, the nearest first.

    All of them must be satisfied, so that a nearer one can only tighten. Of one
    scope and pattern only the newest number is in force.
    """
    newest: dict[tuple[Any, ...], Policy] = {}
    above = (model.pk, model.schema_id, model.schema.catalog_id)
    for policy in _OF_SCOPES.all(*above):
        newest[(_level(policy), policy.alias_pattern.lower())] = policy
    matching = [
        policy
        for policy in newest.values()
        if matches(policy, alias) and not policy.is_retired
    ]
    return sorted(
        matching, key=lambda policy: (_level(policy), -policy.created_at.timestamp())
    )


def policies_of(approval: ApprovalRequest) -> list[Policy]:
    """Return the policies that an open request must satisfy, the nearest first.

    Those that it was opened under, those in force now and those in between:
    tightening counts at once, loosening does not help a request that is open.
    """
    now = policies_in_force(approval.model, approval.alias)
    known = {policy.pk for policy in now}
    opened_under = [entry["id"] for entry in approval.policy_snapshot["policies"]]
    asked = Q(pk__in=opened_under) | (
        # what was in force for a while meanwhile
        _above(approval.model) & Q(created_at__gte=approval.opened_at)
    )
    earlier = _rows().filter(asked).exclude(pk__in=known).order_by("created_at")
    return now + [
        policy
        for policy in earlier
        if matches(policy, approval.alias) and not policy.is_retired
    ]


def policies_around(scope: Securable, alias_pattern: str) -> list[Policy]:
    """Return the policies in force of the scopes above for the same aliases.

    Of two patterns it is only known that they meet when one matches the other.
    """
    rows = Policy.objects.none()
    if isinstance(scope, RegisteredModel):
        rows = _rows().filter(
            Q(schema=scope.schema_id) | Q(catalog=scope.schema.catalog_id)
        )
    elif isinstance(scope, Schema):
        rows = _rows().filter(catalog=scope.catalog_id)
    newest: dict[tuple[Any, ...], Policy] = {}
    for policy in rows.order_by("number"):
        newest[(_level(policy), policy.alias_pattern.lower())] = policy
    theirs = alias_pattern.lower()
    return [
        policy
        for (_, pattern), policy in newest.items()
        if not policy.is_retired
        and (fnmatchcase(theirs, pattern) or fnmatchcase(pattern, theirs))
    ]


def requests_under(policy: Policy) -> list[ApprovalRequest]:
    """Return the open requests for an alias that a policy protects."""
    within = {
        "model": Q(model=policy.model_id),
        "schema": Q(model__schema=policy.schema_id),
        "catalog": Q(model__schema__catalog=policy.catalog_id),
    }
    rows = ApprovalRequest.objects.filter(within[_scope_name(policy)], status__in=OPEN)
    return [one for one in rows.order_by("opened_at") if matches(policy, one.alias)]


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
        "reviewers": policy.reviewer_names,
        "rules": [
            {"needed": rule["needed"], "principals": _names(rule["principals"])}
            for rule in policy.rules
        ],
        "distinct_reviewers": policy.distinct_reviewers,
        "rejects_needed": policy.rejects_needed,
        "checks": [
            {
                "name": check["name"],
                "max_age_seconds": check["max_age_seconds"],
                "reporter": check["reporter"] and check["reporter"]["name"],
            }
            for check in policy.checks
        ],
        "metrics": policy.metrics,
        "wait_seconds": policy.wait_seconds,
        "expires_after_seconds": policy.expires_after_seconds,
        "freezes": policy.freezes,
        "cooling_seconds": policy.cooling_seconds,
        "callback_may_approve": policy.callback_may_approve,
        "bypass": {
            "principals": _names(policy.bypass["principals"]),
            "min_reason_length": policy.bypass["min_reason_length"],
            "ticket_pattern": policy.bypass["ticket_pattern"],
        },
        "rollout_plan": policy.rollout_plan,
        "is_retired": policy.is_retired,
        "note": policy.note,
        "created_by": policy.created_by.username,
        "created_at": policy.created_at.isoformat(),
    }


def _names(principals: Sequence[dict[str, str]]) -> list[str]:
    return [one["name"] for one in principals]


def cooling_of(policies: Sequence[Policy]) -> dt.timedelta:
    """Return the longest cooling period: of the installation, or of a policy."""
    seconds = max([0, *(policy.cooling_seconds for policy in policies)])
    longest: dt.timedelta = max(settings.COOLING_PERIOD, dt.timedelta(seconds=seconds))
    return longest


def rules_for(policy: Policy, principals: Set[uuid.UUID]) -> set[int]:
    """Return which rules (by index) count a principal that is in these groups."""
    ids = {str(one) for one in principals}
    return {
        at
        for at, rule in enumerate(policy.rules)
        if not rule["principals"] or any(p["id"] in ids for p in rule["principals"])
    }


def _above(model: RegisteredModel) -> Q:
    return (
        Q(model=model) | Q(schema=model.schema_id) | Q(catalog=model.schema.catalog_id)
    )


def _rows() -> QuerySet[Policy]:
    return Policy.objects.select_related(
        "catalog", "schema__catalog", "model", "created_by"
    )


def scope_field(scope: Securable) -> str:
    """Return which column of a policy holds a scope. Raises InvalidParameter."""
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
