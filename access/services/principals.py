"""Create principals, and find them by name."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from access.models import PrincipalKind, User
from core.errors import AlreadyExists, InvalidParameter, NotFound, PermissionDenied
from events.services import emit
from events.types import EventType


def require_admin(principal: User) -> None:
    """Let only an admin through. Raises PermissionDenied."""
    if not principal.is_superuser:
        raise PermissionDenied(
            "Only an admin may do this.", reasons=[{"missing": "admin"}]
        )


def get_principal(name: str) -> User:
    """Return the user, service principal or group of a name. Raises NotFound."""
    found = User.objects.select_related("owner").filter(username=name).first()
    if found is None:
        raise NotFound(f"No user, service principal or group {name!r}.")
    return found


def get_account(name: str) -> User:
    """Return a principal that can act by itself: a user or a service principal.

    Raises NotFound, and InvalidParameter for a group.
    """
    found = get_principal(name)
    if found.kind == PrincipalKind.GROUP:
        raise InvalidParameter(
            f"{name!r} is a group; name a user or a service principal."
        )
    return found


@transaction.atomic
def create_user(username: str, *, password: str | None = None, principal: User) -> User:
    """Create a person's account; without a password it cannot sign in."""
    require_admin(principal)
    require_free(username)
    user = User.objects.create_user(username, password=password)
    emit(EventType.PRINCIPAL_CREATED, user, principal=principal, kind=user.kind)
    return user


@transaction.atomic
def create_service_principal(username: str, owner: User, *, principal: User) -> User:
    """Create a service's account, owned by the person who answers for it."""
    require_admin(principal)
    if owner.kind != PrincipalKind.USER:
        raise InvalidParameter(
            f"owner must be a person; {owner.username} is a {owner.kind}."
        )
    require_free(username)
    user = User.objects.create_user(username, kind=PrincipalKind.SERVICE, owner=owner)
    emit(EventType.PRINCIPAL_CREATED, user, principal=principal, kind=user.kind)
    return user


@transaction.atomic
def deactivate(user: User, *, principal: User) -> None:
    """Switch an account off: from the next request on it is nobody.

    Raises InvalidParameter for oneself, so that an admin always remains.
    """
    require_admin(principal)
    if user == principal:
        raise InvalidParameter("You cannot switch off your own account.")
    if User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
        user.is_active = False
        emit(EventType.PRINCIPAL_DEACTIVATED, user, principal=principal)


@transaction.atomic
def activate(user: User, *, principal: User) -> None:
    """Switch an account on again."""
    require_admin(principal)
    if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        user.is_active = True
        emit(EventType.PRINCIPAL_ACTIVATED, user, principal=principal)


@transaction.atomic
def change_mail(user: User, *, email: str, wants_mail: bool, principal: User) -> User:
    """Say where a person gets mail, and whether; for oneself, or as admin.

    Raises InvalidParameter for what is no address; an empty one is none.
    """
    if principal != user:
        require_admin(principal)
    if user.kind != PrincipalKind.USER:
        raise InvalidParameter(f"{user.username} is a {user.kind}; people get mail.")
    if email:
        _require_address(email)
    User.objects.filter(pk=user.pk).update(email=email, wants_mail=wants_mail)
    user.email, user.wants_mail = email, wants_mail
    emit(
        EventType.PRINCIPAL_UPDATED,
        user,
        principal=principal,
        has_email=bool(email),  # the log is for ever, and an address is personal
        wants_mail=wants_mail,
    )
    return user


def _require_address(email: str) -> None:
    try:
        validate_email(email)
    except ValidationError as error:
        raise InvalidParameter(
            "email must be an address, such as ada@example.org."
        ) from error


def require_free(username: str) -> None:
    """Refuse a name that another principal has, in whatever case."""
    if User.objects.filter(username__iexact=username).exists():
        raise AlreadyExists(f"The name {username!r} is taken.")
