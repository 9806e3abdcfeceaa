"""Make an empty home usable: tables, an admin with a token, a catalog and schema."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from access import services as access
from access.authentication import principal_of
from access.models import PrincipalKind, User
from core.errors import NotFound, Unauthenticated
from events.services import emit
from events.types import EventType
from registry import services as registry


@dataclass(frozen=True)
class Credentials:
    """How to act as the admin; the password is None when it is no longer ours."""

    url: str
    username: str
    password: str | None
    token: str


class Command(BaseCommand):
    """Run it as often as you like: what is there already stays as it is."""

    help = __doc__ or ""
    requires_system_checks = []  # they import MLflow: seconds for nothing

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--json", action="store_true", help="print one line of JSON"
        )
        parser.add_argument(
            "--namespace", metavar="CATALOG.SCHEMA", help="make sure that it exists"
        )

    def handle(self, *, namespace: str | None, json: bool, **_options: Any) -> None:
        credentials = prepare()
        if namespace:
            ensure_namespace(
                namespace, User.objects.get_by_natural_key(credentials.username)
            )
        self.stdout.write(_as_json(credentials) if json else _as_text(credentials))


def prepare() -> Credentials:
    """Migrate, and return the admin's credentials, made now or kept from before.

    The password and the token are kept in the home, in `keys/admin.json`, for
    scripts; a token that ended is replaced.
    """
    with _alone(), contextlib.redirect_stdout(sys.stderr):
        call_command("migrate", interactive=False, verbosity=0)
        kept = _kept()
        admin = _admin(kept.get("username", "admin"))
        password = kept.get("password")
        if admin is None:
            password = secrets.token_urlsafe(18)
            admin = _create_admin(password)
        registry.get_metastore()  # there is one before anybody needs a grant on it
        credentials = Credentials(
            settings.PUBLIC_URL,
            admin.username,
            password if password and admin.check_password(password) else None,
            _working_token(admin, kept.get("token", "")),
        )
        _keep(credentials)
    return credentials


def ensure_namespace(full_name: str, admin: User) -> None:
    """Create the catalog and the schema of a two-level name where they are missing."""
    catalog, _, schema = full_name.partition(".")
    if not catalog or not schema:
        raise CommandError(f"--namespace takes CATALOG.SCHEMA, not {full_name!r}.")
    try:
        registry.get_catalog(catalog)
    except NotFound:
        registry.create_catalog(catalog, principal=admin)
    try:
        registry.get_schema(full_name)
    except NotFound:
        registry.create_schema(full_name, principal=admin)


def _admin(username: str) -> User | None:
    admins = User.objects.filter(
        is_superuser=True, is_active=True, kind=PrincipalKind.USER
    )
    return (
        admins.filter(username=username).first()
        or admins.order_by("date_joined").first()
    )


@transaction.atomic
def _create_admin(password: str) -> User:
    if User.objects.filter(username__iexact="admin").exists():
        raise CommandError(
            "There is no admin, and the name 'admin' belongs to somebody else; "
            "run manage.py createsuperuser."
        )
    admin = User.objects.create_superuser("admin", password=password)
    emit(EventType.PRINCIPAL_CREATED, admin, principal=None, kind=admin.kind)
    return admin


def _working_token(admin: User, token: str) -> str:
    try:
        if principal_of(token) == admin:
            return token
    except Unauthenticated:
        pass
    return access.issue_token(admin, "bootstrap", principal=admin)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep out a second process that prepares the same home, and other readers."""
    umask = os.umask(0o077)
    try:
        settings.KEYS_DIR.mkdir(parents=True, exist_ok=True)
        with (settings.HOME / "bootstrap.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    finally:
        os.umask(umask)


def _file() -> Path:
    path: Path = settings.KEYS_DIR / "admin.json"
    return path


def _kept() -> dict[str, str]:
    if not _file().exists():
        return {}
    kept: dict[str, str] = json.loads(_file().read_text())
    return kept


def _keep(credentials: Credentials) -> None:
    fresh = _file().with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(_as_json(credentials))
    os.replace(fresh, _file())


def _as_json(credentials: Credentials) -> str:
    return json.dumps(asdict(credentials))


def _as_text(credentials: Credentials) -> str:
    return (
        f"url       {credentials.url}\n"
        f"username  {credentials.username}\n"
        f"password  {credentials.password or '(changed since; not known here)'}\n"
        f"token     {credentials.token}"
    )
