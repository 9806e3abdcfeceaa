"""Find out who is calling: an access token as Bearer or as Basic's password."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import uuid
from functools import cache
from typing import Any, NamedTuple

from django.contrib.auth import authenticate as check_password
from django.db import DEFAULT_DB_ALIAS, connection
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from access.lockout import require_unlocked
from access.models import AccessToken, User
from access.token_scopes import require_scope
from access.token_uses import note_use
from access.tokens import digest_of, is_well_formed
from core.callers import note_credential, note_principal
from core.errors import BadCredential, Unauthenticated

# What an RPC never asks stays behind, the hash of the password first of all; Django
# fetches it when somebody does ask.
_FIELDS = [
    field.attname
    for field in User._meta.concrete_fields
    if field.name
    not in {"password", "email", "wants_mail", "last_login", "date_joined"}
]
_LONGEST_NAME = 150
_HINT = (
    "Send an access token: 'Authorization: Bearer gl_…', or as the password of "
    "MLFLOW_TRACKING_USERNAME / MLFLOW_TRACKING_PASSWORD."
)


class _Token(NamedTuple):
    """What the one query finds: the columns in its order, then the principal."""

    id: uuid.UUID
    scopes: list[str]
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None
    expires_at: dt.datetime | None
    principal: User


_COLUMNS = _Token._fields[:-1]


def authenticate(request: HttpRequest) -> User:
    """Return the principal of the request's token, in one query.

    Raises Unauthenticated when there is none, or it is unknown, expired,
    revoked, or its principal is switched off; PermissionDenied when its scopes do
    not admit the request.
    """
    token = _valid(_text(request))
    note_principal(request, token.principal)
    note_credential(request, f"token:{token.id}")
    note_use(request, token.id, token.last_used_at)
    require_scope(token.scopes, request.method or "", request.path_info)
    return token.principal


def principal_of(token: str) -> User:
    """Return the principal whose token this is. Raises Unauthenticated."""
    return _valid(token).principal


def _text(request: HttpRequest) -> str:
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credential.strip()
    if scheme.lower() == "basic":
        return _basic(credential)[1]
    raise Unauthenticated(f"No credential. {_HINT}")


def _valid(token: str) -> _Token:
    if not is_well_formed(token):
        raise BadCredential(f"That is not an access token. {_HINT}")
    found = _find(digest_of(token))
    if found is None:
        raise BadCredential("Unknown access token.")
    expires_at = found.expires_at
    of_token = {"principal": found.principal, "credential": f"token:{found.id}"}
    if found.revoked_at or not found.principal.is_active:
        raise BadCredential("This access token was revoked.").telling(**of_token)
    if expires_at and expires_at <= timezone.now():
        raise BadCredential(
            f"This access token expired at {expires_at.isoformat()}; issue a new one."
        ).telling(**of_token)
    return found


def _find(digest: str) -> _Token | None:
    sql, converters = _statement()
    with connection.cursor() as cursor:
        cursor.execute(sql, [digest])
        row = cursor.fetchone()
    if row is None:
        return None
    values = list(row)
    for index, (convert, column) in converters.items():
        for function in convert:
            values[index] = function(values[index], column, connection)
    own, fields = values[: len(_COLUMNS)], values[len(_COLUMNS) :]
    principal = User.from_db(DEFAULT_DB_ALIAS, _FIELDS, fields)
    return _Token._make([*own, principal])


@cache
def _statement() -> tuple[str, dict[int, tuple[list[Any], Any]]]:
    """Return the ORM's statement and its converters of columns, made once.

    Every request runs it, and making it costs eight times what running it does.
    """
    query = AccessToken.objects.filter(digest="").values_list(
        *_COLUMNS, *(f"principal__{name}" for name in _FIELDS)
    )
    compiler = query.query.get_compiler(connection=connection)
    sql, _ = compiler.as_sql()
    return sql, compiler.get_converters(column for column, *_ in compiler.select)


def person_by_password(request: HttpRequest) -> User:
    """Return the user of a real password over Basic; only to issue a token."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated("Send your user name and password as Basic credentials.")
    username, password = _basic(credential)
    if len(username) > _LONGEST_NAME or "\0" in username + password:
        raise BadCredential("Wrong user name or password.")
    user = check_password(request, username=username, password=password)
    require_unlocked(request, username)
    if not isinstance(user, User):
        raise BadCredential("Wrong user name or password.").telling(name=username)
    note_credential(request, "password")
    return user


def _basic(credential: str) -> tuple[str, str]:
    try:
        decoded = base64.b64decode(credential, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Unauthenticated("The Basic credential is not valid base64.") from error
    username, _, password = decoded.partition(":")
    return username, password


def caller(request: Request | HttpRequest) -> User:
    """Return the signed-in principal of a view that admits nobody else."""
    if not isinstance(request.user, User):
        raise Unauthenticated(f"Sign in first. {_HINT}")
    return request.user


class TokenAuthentication(BaseAuthentication):
    """Access tokens for DRF; without one, the session may still answer."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        if not request.headers.get("Authorization"):
            return None
        return authenticate(request._request), None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="greenlight"'
