"""Catalogs and schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import IntegrityError, models, transaction
from django.utils import timezone

from access.authz import require
from access.models import User
from access.privileges import Privilege
from core import sql
from core.errors import AlreadyExists, Conflict, InvalidParameter, NotFound, unseen
from events.services import emit
from events.types import EventType
from registry.models import Catalog, CodePolicy, Metastore, Schema
from registry.names import MAX_DESCRIPTION, check_length, check_name


def get_metastore() -> Metastore:
    """Return the installation as a securable; the first admin owns it at first."""
    found: Metastore | None = Metastore.objects.select_related("owner").first()
    if found is not None:
        return found
    first_admin = User.objects.filter(is_superuser=True).earliest("date_joined")
    made: Metastore
    made, _ = Metastore.objects.get_or_create(
        name=Metastore.NAME, defaults={"owner": first_admin}
    )
    return made


def get_catalog(name: str) -> Catalog:
    """Return a catalog by name. Raises NotFound."""
    rows = Catalog.objects.select_related("owner")
    found: Catalog | None = rows.filter(name=name).first()
    if found is None:
        raise unseen("catalog", name)
    return found


def get_schema(full_name: str) -> Schema:
    """Return a schema by `catalog.schema`. Raises NotFound."""
    catalog, _, name = full_name.partition(".")
    rows = Schema.objects.select_related("catalog__owner", "owner")
    found: Schema | None = rows.filter(catalog__name=catalog, name=name).first()
    if found is None:
        raise unseen("schema", full_name)
    return found


def keep(container: Catalog | Schema) -> None:
    """Keep a container until the transaction ends, for what is made in it.

    Raises NotFound when it was deleted meanwhile.
    """
    if not sql.hold(container):
        kind = container._meta.verbose_name
        raise NotFound(f"No {kind} {container.full_name} that you may see.")


@transaction.atomic
def create_catalog(name: str, *, comment: str = "", principal: User) -> Catalog:
    """Create a catalog, owned by the principal; an admin may, and who is granted it."""
    require(principal, Privilege.CREATE_CATALOG, get_metastore())
    check_name(name, "catalog")
    try:
        with transaction.atomic():
            catalog = Catalog.objects.create(
                name=name, comment=comment, owner=principal
            )
    except IntegrityError as error:
        raise AlreadyExists(f"There is a catalog {name} already.") from error
    emit(EventType.CATALOG_CREATED, catalog, principal=principal)
    return catalog


@transaction.atomic
def create_schema(full_name: str, *, comment: str = "", principal: User) -> Schema:
    """Create a schema in a catalog, owned by the principal."""
    parts = full_name.split(".")
    if len(parts) != 2:
        raise InvalidParameter(f"schema {full_name!r} must be catalog.schema.")
    catalog = get_catalog(parts[0])
    require(principal, Privilege.CREATE_SCHEMA, catalog)
    check_name(parts[1], "schema")
    keep(catalog)
    try:
        with transaction.atomic():
            schema = Schema.objects.create(
                catalog=catalog, name=parts[1], comment=comment, owner=principal
            )
    except IntegrityError as error:
        raise AlreadyExists(f"There is a schema {full_name} already.") from error
    emit(EventType.SCHEMA_CREATED, schema, principal=principal)
    return schema


@transaction.atomic
def update_catalog(
    catalog: Catalog,
    *,
    comment: str | None = None,
    delegated_versions: bool | None = None,
    require_signature: bool | None = None,
    code_policy: str | None = None,
    principal: User,
) -> Catalog:
    """Change the comment of a catalog, and its rules for versions.

    These say whether CREATE MODEL VERSION counts, and what a model must be like to
    be registered; versions that are there already stay. What is None stays as it is.
    """
    require(principal, Privilege.OWN, catalog)
    if comment is not None:
        check_length(comment, "comment", MAX_DESCRIPTION)
    if code_policy is not None and code_policy not in CodePolicy.values:
        known = ", ".join(CodePolicy.values)
        raise InvalidParameter(f"code_policy {code_policy!r} must be of {known}.")
    changes = {
        "comment": comment,
        "delegated_versions": delegated_versions,
        "require_signature": require_signature,
        "code_policy": code_policy,
    }
    if changed := _change(catalog, changes):
        emit(EventType.CATALOG_UPDATED, catalog, principal=principal, **changed)
    return catalog


@transaction.atomic
def update_schema(schema: Schema, *, comment: str, principal: User) -> Schema:
    """Change the comment of a schema."""
    require(principal, Privilege.OWN, schema)
    check_length(comment, "comment", MAX_DESCRIPTION)
    if changed := _change(schema, {"comment": comment}):
        emit(EventType.SCHEMA_UPDATED, schema, principal=principal, **changed)
    return schema


@transaction.atomic
def delete_catalog(catalog: Catalog, *, principal: User) -> None:
    """Delete an empty catalog, with the grants on it. Raises Conflict unless empty."""
    require(principal, Privilege.MANAGE, catalog)
    _delete_empty(catalog)
    emit(EventType.CATALOG_DELETED, catalog, principal=principal)


@transaction.atomic
def delete_schema(schema: Schema, *, principal: User) -> None:
    """Delete an empty schema, with the grants on it. Raises Conflict unless empty."""
    require(principal, Privilege.MANAGE, schema)
    _delete_empty(schema)
    emit(EventType.SCHEMA_DELETED, schema, principal=principal)


def _change(row: Catalog | Schema, changes: dict[str, Any]) -> dict[str, Any]:
    """Write what is given and differs; return it as before and after."""
    fresh: Any = type(row).objects.select_for_update().get(pk=row.pk)
    after = {
        field: value
        for field, value in changes.items()
        if value is not None and value != getattr(fresh, field)
    }
    if not after:
        return {}
    before = {field: getattr(fresh, field) for field in after}
    type(row).objects.filter(pk=row.pk).update(**after, updated_at=timezone.now())
    for field, value in after.items():
        setattr(row, field, value)
    return {"before": before, "after": after}


def _delete_empty(row: Catalog | Schema) -> None:
    type(row).objects.select_for_update().get(pk=row.pk)
    held = [words for words in _contents(row) if words]
    if held:
        raise Conflict(
            f"{row.full_name} still holds {', '.join(held)}; delete what it holds "
            "first. What was deleted counts where its record is kept for audits."
        )
    type(row).objects.filter(pk=row.pk).delete()


def _contents(row: Catalog | Schema) -> Iterator[str]:
    """Yield in words what else has to go first, of every app that refers to the row."""
    for relation in row._meta.related_objects:
        if relation.on_delete is not models.PROTECT:
            continue
        children = relation.related_model._base_manager
        count = children.filter(**{relation.field.name: row}).count()
        if count:
            name = relation.related_model._meta.verbose_name
            yield f"{count} {name}{'s' if count > 1 else ''}"
