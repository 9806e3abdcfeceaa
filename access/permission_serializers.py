"""What the REST of grants reads."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from access.simulation import VERBS
from core.serializers import InputSerializer

_NAME, _FULL_NAME = 150, 800


class ChangeSerializer(InputSerializer):
    principal = serializers.CharField(max_length=_NAME)
    add = serializers.ListField(child=serializers.CharField(), default=list)
    remove = serializers.ListField(child=serializers.CharField(), default=list)
    expires_at = serializers.DateTimeField(default=None, allow_null=True)


class ChangesSerializer(InputSerializer):
    changes = ChangeSerializer(many=True, allow_empty=False)


class ObjectSerializer(InputSerializer):
    """An object by its name; its type is guessed from the parts unless given."""

    object = serializers.CharField(max_length=_FULL_NAME)
    securable_type = serializers.CharField(max_length=40, default="", allow_blank=True)


class WhoCouldSerializer(ObjectSerializer):
    operation = serializers.CharField(max_length=40)


class ExplainSerializer(ObjectSerializer):
    """A question about an operation, or about a single privilege."""

    principal = serializers.CharField(max_length=_NAME)
    operation = serializers.CharField(max_length=40, default="")
    privilege = serializers.CharField(max_length=40, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["operation"]) == bool(attrs["privilege"]):
            raise serializers.ValidationError(
                {"operation": "Give an operation, or a privilege, and not both."}
            )
        return attrs


class SimulatedSerializer(InputSerializer):
    """One change: a grant, a membership or a transfer."""

    change = serializers.ChoiceField(choices=VERBS)
    principal = serializers.CharField(max_length=_NAME)
    object = serializers.CharField(max_length=_FULL_NAME, default="")
    securable_type = serializers.CharField(max_length=40, default="", allow_blank=True)
    privilege = serializers.CharField(max_length=40, default="")
    group = serializers.CharField(max_length=_NAME, default="")
    expires_at = serializers.DateTimeField(default=None, allow_null=True)


class SimulateSerializer(InputSerializer):
    changes = SimulatedSerializer(many=True, allow_empty=False)


class OwnerSerializer(InputSerializer):
    owner = serializers.CharField(max_length=_NAME)


class PageSerializer(InputSerializer):
    max_results = serializers.IntegerField(min_value=1, max_value=1000, default=100)


class AccessRequestSerializer(ObjectSerializer):
    privileges = serializers.ListField(
        child=serializers.CharField(max_length=40), allow_empty=False, max_length=20
    )
    reason = serializers.CharField(max_length=2000, default="", allow_blank=True)


class DeclineSerializer(InputSerializer):
    answer = serializers.CharField(max_length=2000, default="", allow_blank=True)


class AnswerSerializer(DeclineSerializer):
    expires_at = serializers.DateTimeField(default=None, allow_null=True)
