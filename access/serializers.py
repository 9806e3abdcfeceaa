"""Shapes of principals and tokens on the wire."""

from __future__ import annotations

from rest_framework import serializers

from access.models import AccessToken, User
from access.shapes import PrincipalJson, TokenJson
from core.serializers import InputSerializer


class UserSerializer(InputSerializer):
    username = serializers.RegexField(r"^[A-Za-z0-9_.@+-]{1,150}$")
    password = serializers.CharField(
        min_length=12, max_length=200, default=None, allow_null=True
    )


class ServicePrincipalSerializer(InputSerializer):
    username = serializers.RegexField(r"^[A-Za-z0-9_.@+-]{1,150}$")
    owner = serializers.CharField(max_length=150)


class TokenSerializer(InputSerializer):
    name = serializers.CharField(max_length=100)
    expires_at = serializers.DateTimeField(default=None, allow_null=True)
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=40), default=None, allow_null=True
    )
    principal = serializers.CharField(max_length=150, default="")


class GroupSerializer(InputSerializer):
    name = serializers.RegexField(r"^[A-Za-z0-9_.@+-]{1,150}$")


class MemberSerializer(InputSerializer):
    member = serializers.CharField(max_length=150)


class ActiveSerializer(InputSerializer):
    is_active = serializers.BooleanField()


class PrincipalsQuerySerializer(InputSerializer):
    prefix = serializers.CharField(max_length=150, default="", allow_blank=True)
    max_results = serializers.IntegerField(min_value=1, max_value=1000, default=100)
    page_token = serializers.CharField(max_length=1000, default="", allow_blank=True)


def principal_json(user: User) -> PrincipalJson:
    return {
        "id": str(user.id),
        "username": user.username,
        "kind": user.kind,
        "is_active": user.is_active,
        "owner": user.owner.username if user.owner else None,
    }


def token_json(token: AccessToken) -> TokenJson:
    return {
        "id": str(token.id),
        "name": token.name,
        "hint": token.hint,
        "scopes": token.scopes,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    }
