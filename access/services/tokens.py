"""Access tokens: issued once, shown once, revoked at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from access.models import AccessToken, PrincipalKind, User
from access.services.principals import require_admin
from access.token_scopes import checked_scopes
from access.tokens import digest_of, new_token
from core.errors import InvalidParameter
from events.services import emit
from events.types import EventType

DEFAULT_TOKEN_LIFE = dt.timedelta(days=90)


@transaction.atomic
def issue_token(
    holder: User,
    name: str,
    *,
    expires_at: dt.datetime | None = None,
    scopes: Iterable[str] | None = None,
    principal: User,
) -> str:
    """Issue an access token and return its text, which is shown only now.

    For oneself, for a service principal that one owns, or as admin. `expires_at`
    defaults to 90 days from now, `scopes` to everything.
    """
    if principal not in (holder, holder.owner):
        require_admin(principal)
    if holder.kind == PrincipalKind.GROUP:
        raise InvalidParameter(f"{holder.username} is a group; groups hold no tokens.")
    expires_at = expires_at or timezone.now() + DEFAULT_TOKEN_LIFE
    if expires_at <= timezone.now():
        raise InvalidParameter("expires_at must lie in the future.")
    text = new_token()
    token = AccessToken.objects.create(
        principal=holder,
        name=name,
        digest=digest_of(text),
        hint=text[:8],
        scopes=checked_scopes(scopes),
        expires_at=expires_at,
    )
    emit(EventType.TOKEN_ISSUED, token, principal=principal, expires_at=expires_at)
    return text


@transaction.atomic
def revoke_token(token: AccessToken, *, principal: User) -> None:
    """Make a token useless from the next request on."""
    if principal not in (token.principal, token.principal.owner):
        require_admin(principal)
    AccessToken.objects.filter(pk=token.pk, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    emit(EventType.TOKEN_REVOKED, token, principal=principal)
