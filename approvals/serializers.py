"""Shapes of policies, requests, decisions and checks on the wire."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

from rest_framework import serializers

from approvals.models import Bypass, RequestStatus, Verdict
from approvals.shapes import AliasThenJson, MoveJson
from core.serializers import InputSerializer
from registry.models import AliasMove

_MAX_EVIDENCE_BYTES = 64 * 1024
_TEXT = 5000


class ObjectField(serializers.DictField):
    """A JSON object of bounded size."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value: dict[str, Any] = super().to_internal_value(data)
        if len(json.dumps(value)) > _MAX_EVIDENCE_BYTES:
            raise serializers.ValidationError("must be at most 64 KiB of JSON.")
        return value


def _text() -> serializers.CharField:
    return serializers.CharField(max_length=_TEXT, default="", allow_blank=True)


def _digest() -> serializers.RegexField:
    return serializers.RegexField(r"^[0-9a-f]{64}$")


def _details_url() -> serializers.RegexField:
    # shown as a link, so never javascript:; hosts of one label are fine
    return serializers.RegexField(
        r"^https?://[^\s\"'<>]+$", max_length=2000, default="", allow_blank=True
    )


class RequestSerializer(InputSerializer):
    model = serializers.CharField(max_length=800)
    alias = serializers.CharField(max_length=255)
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    # null: the template of the nearest policy
    rollout_plan = ObjectField(default=None, allow_null=True)
    reason = _text()


class RolloutPlanSerializer(InputSerializer):
    rollout_plan = ObjectField()


class RequestFilterSerializer(InputSerializer):
    state = serializers.ChoiceField(
        choices=RequestStatus.choices, default="", allow_blank=True
    )
    model = serializers.CharField(max_length=800, default="", allow_blank=True)
    # whom they wait for, and who asked
    assignee = serializers.ChoiceField(choices=["me"], default="", allow_blank=True)
    requester = serializers.ChoiceField(choices=["me"], default="", allow_blank=True)
    max_results = serializers.IntegerField(default=100, min_value=1, max_value=1000)
    page_token = serializers.CharField(default="", allow_blank=True)


class AliasSerializer(InputSerializer):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    reason = _text()


class BreakGlassSerializer(InputSerializer):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    reason = serializers.CharField(max_length=4000)
    ticket = serializers.CharField(max_length=100, default="", allow_blank=True)


class AliasQuerySerializer(InputSerializer):
    as_of = serializers.DateTimeField(default=None)


class PageQuerySerializer(InputSerializer):
    max_results = serializers.IntegerField(default=100, min_value=1, max_value=1000)
    page_token = serializers.CharField(default="", allow_blank=True)


class HistoryQuerySerializer(InputSerializer):
    max_results = serializers.IntegerField(default=100, min_value=1, max_value=1000)
    page_token = serializers.CharField(default="", allow_blank=True)


class DecisionSerializer(InputSerializer):
    decision = serializers.ChoiceField(choices=Verdict.choices)
    comment = _text()
    digest = _digest()
    # of the request as it was shown; without it, the digest alone is compared
    binding = serializers.RegexField(r"^[0-9a-f]{64}$", default="", allow_blank=True)
    # the reviewer who delegated their approvals to the caller
    on_behalf_of = serializers.CharField(max_length=150, default="", allow_blank=True)


class RequestCommentSerializer(InputSerializer):
    text = serializers.CharField(max_length=_TEXT)


class DelegationSerializer(InputSerializer):
    delegate = serializers.CharField(max_length=150)
    # null: from now on
    starts_at = serializers.DateTimeField(default=None, allow_null=True)
    ends_at = serializers.DateTimeField()
    reason = _text()


class CheckSerializer(InputSerializer):
    name = serializers.CharField(max_length=200)
    passed = serializers.BooleanField()
    comment = _text()
    details_url = _details_url()
    evidence = ObjectField(default=dict)
    digest = _digest()


class CallbackSerializer(InputSerializer):
    state = serializers.CharField(max_length=20)
    name = serializers.CharField(max_length=200, default="", allow_blank=True)
    passed = serializers.BooleanField(default=None, allow_null=True)
    comment = _text()
    details_url = _details_url()
    evidence = ObjectField(default=dict)
    digest = serializers.RegexField(r"^[0-9a-f]{64}$", default="", allow_blank=True)


def alias_then_json(move: AliasMove, moment: dt.datetime) -> AliasThenJson:
    """Render where an alias pointed at a moment."""
    return {
        "alias": move.alias.name,
        "as_of": moment,
        "version": move.version.number if move.version else None,
        "digest": move.version.digest if move.version else None,
        "generation": move.generation,
        "set_at": move.moved_at,
        "set_by": move.moved_by.username,
    }


def move_json(
    move: AliasMove,
    until: dt.datetime | None,
    request_id: uuid.UUID | None,
    bypass: Bypass | None,
) -> MoveJson:
    """Render a move; it held from `moved_at` to `until`, None is to this day."""
    return {
        "generation": move.generation,
        "version": move.version.number if move.version else None,
        "digest": move.version.digest if move.version else None,
        "previous": move.previous_version.number if move.previous_version else None,
        "moved_at": move.moved_at,
        "until": until,
        "moved_by": move.moved_by.username,
        "approval_request": str(request_id) if request_id else None,
        "bypass_reason": bypass.reason if bypass else None,
        "bypass_ticket": bypass.ticket if bypass else None,
        "event_id": str(move.event_id),
    }
