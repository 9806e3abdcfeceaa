"""Packages: created by who may create pipelines, changed by their owner alone.

A package is no securable of its own: who may create pipelines in its schema
may read it and train it.
"""

from __future__ import annotations

import re
from typing import IO

from django.db import IntegrityError, transaction
from django.db.models import Max, Q, QuerySet

from access.authz import is_allowed, require
from access.facts import principals_of
from access.models import User
from access.privileges import Privilege
from core.errors import AlreadyExists, InvalidParameter, NotFound, PermissionDenied
from events.services import emit
from events.types import EventType
from registry import services as registry
from registry.models import Schema
from registry.names import split_full_name
from runners import environments, packages
from runners.models import Package, PackageVersion

_NUMBER = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


def visible_packages(principal: User) -> QuerySet[Package]:
    """Return the packages that the principal may read."""
    schemas = Schema.objects.allowed(principal, Privilege.CREATE_PIPELINE)
    return Package.objects.filter(
        Q(owner__in=principals_of(principal)) | Q(schema__in=schemas)
    ).select_related("schema__catalog", "owner")


def get_package(full_name: str, *, principal: User) -> Package:
    """Return a package that the principal may read. Raises NotFound."""
    found = visible_packages(principal).filter(full_name=full_name).first()
    if found is None:
        split_full_name(full_name, "package")
        raise NotFound(f"No package {full_name} that you may see.")
    return found


@transaction.atomic
def create_package(full_name: str, *, comment: str = "", principal: User) -> Package:
    """Create a package without versions, owned by the principal."""
    catalog, schema_name, name = split_full_name(full_name, "package")
    schema = registry.get_schema(f"{catalog}.{schema_name}")
    require(principal, Privilege.CREATE_PIPELINE, schema)
    try:
        with transaction.atomic():
            registry.keep(schema)
            return Package.objects.create(
                schema=schema,
                name=name,
                full_name=full_name,
                comment=comment,
                owner=principal,
            )
    except IntegrityError as error:
        raise AlreadyExists(f"There is a package {full_name} already.") from error


def upload_package(
    package: Package, upload: IO[bytes], *, principal: User
) -> PackageVersion:
    """Check and store a zip as the next major version `N.0`, with its lock."""
    _require_owner(package, principal)
    intake = packages.take_in(upload)
    lock = environments.lock(intake.requirements)
    with transaction.atomic():
        held = Package.objects.select_for_update().get(pk=package.pk)
        highest = held.versions.aggregate(highest=Max("major"))["highest"] or 0
        version = PackageVersion.objects.create(
            package=held,
            major=highest + 1,
            minor=0,
            digest=intake.digest,
            size_bytes=intake.size_bytes,
            functions=intake.functions,
            lock=lock,
            created_by=principal,
        )
        emit(
            EventType.PACKAGE_UPLOADED,
            version,
            principal=principal,
            version=version.number,
            digest=version.digest,
        )
    return version


def _require_owner(package: Package, principal: User) -> None:
    if package.owner_id in principals_of(principal):
        return
    if not is_allowed(principal, Privilege.CREATE_PIPELINE, package.schema):
        raise NotFound(f"No package {package.full_name} that you may see.")
    raise PermissionDenied(
        f"Only {package.owner.username}, its owner, uploads to {package.full_name}.",
        reasons=[{"missing": "ownership", "full_name": package.full_name}],
    )


def get_package_version(package: Package, number: str = "") -> PackageVersion:
    """Return a version by number, or the latest upload. Raises NotFound."""
    rows = package.versions.select_related("package", "created_by", "parent_version")
    if not number:
        found = rows.filter(minor=0).order_by("-major").first()
    elif match := _NUMBER.fullmatch(number):
        found = rows.filter(major=match[1], minor=match[2]).first()
    else:
        raise InvalidParameter(f"The version {number!r} is not like '1.0'.")
    if found is None:
        wanted = f"version {number}" if number else "version yet; upload one"
        raise NotFound(f"{package.full_name} has no {wanted}.")
    return found


def open_package(version: PackageVersion) -> IO[bytes]:
    """Open the canonical zip of a version for reading."""
    return packages.path_of(version.digest).open("rb")
