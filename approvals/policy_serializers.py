"""Shapes in which policies are asked for by REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from access.models import User
from access.services import get_principal
from approvals.drafts import (
    WEEK_SECONDS,
    YEAR_SECONDS,
    Bypass,
    CheckRule,
    Draft,
    ReviewerRule,
)
from approvals.serializers import ObjectField
from core.errors import InvalidParameter
from core.serializers import InputSerializer


def _names() -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=150), default=list, max_length=100
    )


def _seconds(default: int | None = 0, least: int = 0) -> serializers.IntegerField:
    return serializers.IntegerField(
        default=default, min_value=least, max_value=YEAR_SECONDS
    )


class _Part(InputSerializer):
    """An object within another; a field that there is not is refused here too."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            for name in data.keys() - self.fields.keys():
                known = ", ".join(self.fields)
                raise serializers.ValidationError(
                    f"{str(name)[:100]!r} is unknown here; there are {known}."
                )
        return super().to_internal_value(data)


class ReviewerRuleSerializer(_Part):
    needed = serializers.IntegerField(default=1, min_value=1, max_value=100)
    principals = _names()


class CheckRuleSerializer(_Part):
    """A check; its name alone may be written instead of an object."""

    name = serializers.CharField(max_length=200)
    max_age_seconds = serializers.IntegerField(
        default=None, allow_null=True, min_value=1, max_value=YEAR_SECONDS
    )
    reporter = serializers.CharField(default=None, allow_null=True, max_length=150)

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(
            {"name": data} if isinstance(data, str) else data
        )


class BypassSerializer(_Part):
    principals = _names()
    min_reason_length = serializers.IntegerField(default=1, min_value=1, max_value=1000)
    ticket_pattern = serializers.CharField(default="", allow_blank=True, max_length=100)


class TermsSerializer(InputSerializer):
    """What a policy says; `approvals_needed` and `reviewers` are one rule."""

    alias_pattern = serializers.CharField(max_length=255)
    approvals_needed = serializers.IntegerField(
        default=None, allow_null=True, min_value=1, max_value=100
    )
    reviewers = _names()
    rules = ReviewerRuleSerializer(many=True, default=list)
    distinct_reviewers = serializers.BooleanField(default=True)
    rejects_needed = serializers.IntegerField(default=1, min_value=1, max_value=100)
    checks = CheckRuleSerializer(many=True, default=list)
    metrics = serializers.ListField(
        child=serializers.CharField(max_length=700), default=list, max_length=50
    )
    wait_seconds = _seconds()
    expires_after_seconds = _seconds(WEEK_SECONDS, 60)
    freezes = serializers.ListField(child=ObjectField(), default=list, max_length=20)
    cooling_seconds = _seconds()
    callback_may_approve = serializers.BooleanField(default=False)
    bypass = BypassSerializer(default=dict)
    rollout_plan = ObjectField(default=dict)
    note = serializers.CharField(max_length=2000, default="", allow_blank=True)


class PolicySerializer(TermsSerializer):
    securable_type = serializers.CharField(max_length=40)
    full_name = serializers.CharField(max_length=800)
    # the number that one saw, 0 for none; another one is a conflict
    after = serializers.IntegerField(default=None, allow_null=True, min_value=0)


class SimulationSerializer(TermsSerializer):
    securable_type = serializers.CharField(max_length=40)
    full_name = serializers.CharField(max_length=800)
    last = serializers.IntegerField(default=20, min_value=1, max_value=100)


class PolicyFilterSerializer(InputSerializer):
    securable_type = serializers.CharField(default="", allow_blank=True)
    full_name = serializers.CharField(default="", allow_blank=True)
    in_force = serializers.BooleanField(default=False)


class RetirementSerializer(InputSerializer):
    note = serializers.CharField(max_length=2000, default="", allow_blank=True)


def draft_of(data: dict[str, Any]) -> Draft:
    """Return the draft that validated terms describe. Raises InvalidParameter."""
    bypass = {"principals": [], **data["bypass"]}
    return Draft(
        alias_pattern=data["alias_pattern"],
        rules=_rules(data),
        distinct_reviewers=data["distinct_reviewers"],
        rejects_needed=data["rejects_needed"],
        checks=tuple(_check(one) for one in data["checks"]),
        metrics=tuple(data["metrics"]),
        wait_seconds=data["wait_seconds"],
        expires_after_seconds=data["expires_after_seconds"],
        freezes=tuple(data["freezes"]),
        cooling_seconds=data["cooling_seconds"],
        callback_may_approve=data["callback_may_approve"],
        bypass=Bypass(**{**bypass, "principals": _principals(bypass["principals"])}),
        rollout_plan=data["rollout_plan"],
        note=data["note"],
    )


def _rules(data: dict[str, Any]) -> tuple[ReviewerRule, ...]:
    short = data["approvals_needed"] is not None or data["reviewers"]
    if short and data["rules"]:
        raise InvalidParameter(
            "rules: give rules, or approvals_needed and reviewers, not both."
        )
    if not data["rules"]:
        needed = data["approvals_needed"] or 1
        return (ReviewerRule(needed, _principals(data["reviewers"])),)
    return tuple(
        ReviewerRule(one["needed"], _principals(one["principals"]))
        for one in data["rules"]
    )


def _check(data: dict[str, Any]) -> CheckRule:
    reporter = get_principal(data["reporter"]) if data["reporter"] else None
    return CheckRule(data["name"], data["max_age_seconds"], reporter)


def _principals(names: list[str]) -> tuple[User, ...]:
    return tuple(get_principal(name) for name in dict.fromkeys(names))
