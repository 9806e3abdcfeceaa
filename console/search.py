"""Find catalogs, schemas, models and versions by a part of a name or of a tag."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Q, QuerySet, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Concat

from access.models import User
from registry.models import Catalog, ModelVersion, RegisteredModel, Schema

# What a tag's table is called, by what it tags.
_TAGGED = (
    "SELECT name FROM registered_model_tags WHERE workspace = 'default'"
    " AND (LOWER(key) LIKE %s ESCAPE '!' OR LOWER(value) LIKE %s ESCAPE '!')"
)
_TAGGED_VERSIONS = (
    "SELECT v.id FROM model_version_tags t JOIN registry_registeredmodel m"
    " ON m.full_name = t.name JOIN registry_modelversion v"
    " ON v.model_id = m.id AND v.number = t.version WHERE t.workspace = 'default'"
    " AND (LOWER(t.key) LIKE %s ESCAPE '!' OR LOWER(t.value) LIKE %s ESCAPE '!')"
)


def find_models(text: str, after: str, person: User) -> QuerySet[Any]:
    """Return the visible models whose name or a tag contains a text, by name."""
    tagged = RawSQL(_TAGGED, _patterns(text))  # noqa: S611  # ours, with parameters
    rows: QuerySet[Any] = RegisteredModel.objects.visible(person).filter(
        Q(full_name__icontains=text) | Q(full_name__in=tagged), full_name__gt=after
    )
    return rows.select_related("owner").order_by("full_name")


def find_versions(text: str, after: str, person: User) -> QuerySet[Any]:
    """Return the versions of visible models that carry a tag, or are named whole.

    A version is named as `catalog.schema.model/3`.
    """
    name, _, number = text.partition("/")
    tagged = RawSQL(_TAGGED_VERSIONS, _patterns(text))  # noqa: S611  # as above
    named = Q(pk__in=tagged)
    if number.isdecimal():
        named |= Q(model__full_name__icontains=name, number=int(number))
    rows = ModelVersion.objects.filter(
        named, deleted_at=None, model__in=RegisteredModel.objects.detailed(person)
    )
    last, _, last_number = after.rpartition("/")
    if last and last_number.isdecimal():
        rows = rows.filter(
            Q(model__full_name__gt=last)
            | Q(model__full_name=last, number__gt=int(last_number))
        )
    rows = rows.select_related("model", "created_by").prefetch_related("aliases")
    return rows.order_by("model__full_name", "number")


def find_schemas(text: str, after: str, person: User) -> QuerySet[Any]:
    """Return the visible schemas whose full name contains a text, by name."""
    name = Concat(F("catalog__name"), Value("."), F("name"))
    rows: QuerySet[Any] = Schema.objects.visible(person).annotate(said=name)
    rows = rows.filter(said__icontains=text, said__gt=after)
    return rows.select_related("catalog", "owner").order_by("said")


def find_catalogs(text: str, after: str, person: User) -> QuerySet[Any]:
    """Return the visible catalogs whose name contains a text, by name."""
    rows: QuerySet[Any] = Catalog.objects.visible(person).filter(
        name__icontains=text, name__gt=after
    )
    return rows.select_related("owner").order_by("name")


def _patterns(text: str) -> list[str]:
    """Return the pattern that finds a text as it is, for key and for value."""
    for special in "!%_":
        text = text.replace(special, f"!{special}")
    return [f"%{text.lower()}%"] * 2
