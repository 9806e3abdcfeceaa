"""REST of principals, groups and tokens."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access import services
from access.authentication import caller, person_by_password
from access.models import AccessToken, PrincipalKind, User
from access.serializers import (
    ActiveSerializer,
    GroupSerializer,
    MemberSerializer,
    PrincipalsQuerySerializer,
    ServicePrincipalSerializer,
    TokenSerializer,
    UserSerializer,
    principal_json,
    token_json,
)
from access.shapes import (
    GroupsJson,
    IssuedTokenJson,
    MembersJson,
    PrincipalJson,
    ServicePrincipalsJson,
    TokensJson,
    UsersJson,
)
from core.errors import NotFound
from core.http import read_page_token, sign_page_token
from core.openapi import operation


class UserList(APIView):
    """List the accounts of persons by name; create one (admin)."""

    @operation(
        "List the persons by name.", query=PrincipalsQuerySerializer, answer=UsersJson
    )
    def get(self, request: Request) -> Response:
        return _principals(request, PrincipalKind.USER, "users")

    @operation(
        "Create a person's account (admin).",
        body=UserSerializer,
        answer=PrincipalJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = UserSerializer.read(request.data)
        user = services.create_user(
            data["username"], password=data["password"], principal=caller(request)
        )
        return Response(principal_json(user), status=201)


class UserDetail(APIView):
    """Switch an account off, or on again (admin); of a person or a service."""

    @operation(
        "Switch an account off, or on again (admin).",
        body=ActiveSerializer,
        answer=PrincipalJson,
    )
    def patch(self, request: Request, name: str) -> Response:
        data = ActiveSerializer.read(request.data)
        services.require_admin(caller(request))
        user = services.get_account(name)
        act = services.activate if data["is_active"] else services.deactivate
        act(user, principal=caller(request))
        return Response(principal_json(user))


class ServicePrincipalList(APIView):
    """List the accounts of services by name; create one (admin)."""

    @operation(
        "List the services by name.",
        query=PrincipalsQuerySerializer,
        answer=ServicePrincipalsJson,
    )
    def get(self, request: Request) -> Response:
        return _principals(request, PrincipalKind.SERVICE, "service_principals")

    @operation(
        "Create a service's account (admin).",
        body=ServicePrincipalSerializer,
        answer=PrincipalJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = ServicePrincipalSerializer.read(request.data)
        services.require_admin(caller(request))
        owner = services.get_account(data["owner"])
        user = services.create_service_principal(
            data["username"], owner, principal=caller(request)
        )
        return Response(principal_json(user), status=201)


class GroupList(APIView):
    """List the groups by name; create one (admin)."""

    @operation(
        "List the groups by name.", query=PrincipalsQuerySerializer, answer=GroupsJson
    )
    def get(self, request: Request) -> Response:
        return _principals(request, PrincipalKind.GROUP, "groups")

    @operation(
        "Create a group (admin).",
        body=GroupSerializer,
        answer=PrincipalJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = GroupSerializer.read(request.data)
        group = services.create_group(data["name"], principal=caller(request))
        return Response(principal_json(group), status=201)


class MemberList(APIView):
    """Who is directly in a group; put somebody in (admin)."""

    @operation("List who is directly in a group.", answer=MembersJson)
    def get(self, request: Request, name: str) -> Response:
        group = services.get_group(name)
        found = services.list_members(group, principal=caller(request))
        return Response({"members": [principal_json(member) for member in found]})

    @operation(
        "Put a principal into a group (admin).",
        body=MemberSerializer,
        answer=PrincipalJson,
        status=201,
    )
    def post(self, request: Request, name: str) -> Response:
        data = MemberSerializer.read(request.data)
        services.require_admin(caller(request))
        group, member = services.get_group(name), services.get_principal(data["member"])
        services.add_member(group, member, principal=caller(request))
        return Response(principal_json(member), status=201)


class MemberDetail(APIView):
    """Take somebody out of a group (admin)."""

    @operation("Take a principal out of a group (admin).", status=204)
    def delete(self, request: Request, name: str, member: str) -> Response:
        services.require_admin(caller(request))
        group, inside = services.get_group(name), services.get_principal(member)
        services.remove_member(group, inside, principal=caller(request))
        return Response(status=204)


def _principals(request: Request, kind: PrincipalKind, key: str) -> Response:
    """Answer a page of the principals of a kind, by name.

    Names are no secret here: who grants has to find whom to grant to.
    """
    caller(request)
    asked = PrincipalsQuerySerializer.read(request.query_params)
    rows = User.objects.filter(kind=kind, username__istartswith=asked["prefix"])
    if asked["page_token"]:
        last = read_page_token(asked["page_token"], purpose=key)
        rows = rows.filter(username__gt=last)
    found = list(
        rows.order_by("username").select_related("owner")[: asked["max_results"] + 1]
    )
    page = found[: asked["max_results"]]
    body: dict[str, Any] = {key: [principal_json(one) for one in page]}
    if len(found) > len(page):
        body["next_page_token"] = sign_page_token(page[-1].username, purpose=key)
    return Response(body)


class TokenList(APIView):
    """List one's tokens; issue one, shown in this answer only."""

    @operation("List your tokens.", answer=TokensJson)
    def get(self, request: Request) -> Response:
        tokens = AccessToken.objects.filter(principal=caller(request))
        return Response(
            {"tokens": [token_json(token) for token in tokens.order_by("-created_at")]}
        )

    @operation(
        "Issue a token; it is in this answer only.",
        body=TokenSerializer,
        answer=IssuedTokenJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = TokenSerializer.read(request.data)
        holder = (
            services.get_account(data["principal"])
            if data["principal"]
            else caller(request)
        )
        text = services.issue_token(
            holder,
            data["name"],
            expires_at=data["expires_at"],
            scopes=data["scopes"],
            principal=caller(request),
        )
        return Response({"token": text, "principal": holder.username}, status=201)


class TokenByPassword(APIView):
    """Issue a token for a person's user name and password."""

    authentication_classes = ()
    permission_classes = ()

    @operation(
        "Issue a token for a user name and password, sent as HTTP Basic.",
        body=TokenSerializer,
        answer=IssuedTokenJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        user = person_by_password(request._request)
        data = TokenSerializer.read(request.data)
        text = services.issue_token(
            user,
            data["name"],
            expires_at=data["expires_at"],
            scopes=data["scopes"],
            principal=user,
        )
        return Response({"token": text, "principal": user.username}, status=201)


class TokenDetail(APIView):
    """Revoke a token."""

    @operation("Revoke a token.", status=204)
    def delete(self, request: Request, token_id: str) -> Response:
        token = AccessToken.objects.filter(pk=token_id).first()
        if token is None or not _may_see(caller(request), token):
            raise NotFound(f"No access token {token_id} of yours.")
        services.revoke_token(token, principal=caller(request))
        return Response(status=204)


def _may_see(user: User, token: AccessToken) -> bool:
    return user.is_superuser or user in (token.principal, token.principal.owner)
