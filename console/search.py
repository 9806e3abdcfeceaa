"""Find catalogs, schemas, models and versions by a part of a name or of a tag."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Q, QuerySet, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Concat

from access.models import User
from registry.listing import ModelRow, list_models
from registry.models import Catalog, ModelVersion, RegisteredModel, Schema

# The versions of which a tag contains a text.
_TAGGED_VERSIONS = (
    "SELECT v.id FROM model_version_tags t JOIN registry_registeredmodel m"
    " ON m.full_name = t.name JOIN registry_modelversion v"
    " ON v.model_id = m.id AND v.number = t.version WHERE t.workspace = 'default'"
    " AND (LOWER(t.key) LIKE %s ESCAPE '!' OR LOWER(t.value) LIKE %s ESCAPE '!')"
)


def find_models(text: str, after: str, limit: int, person: User) -> list[ModelRow]:
    """Return the visible models whose name or a tag contains a text, by name."""
    return list_models(person, text=text, after=after, limit=limit)


def find_versions(text: str, after: str, limit: int, person: User) -> list[Any]:
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
    return list(rows.order_by("model__full_name", "number")[:limit])


def find_schemas(text: str, after: str, limit: int, person: User) -> list[Any]:
    """Return the visible schemas whose full name contains a text, by name."""
    name = Concat(F("catalog__name"), Value("."), F("name"))
    rows: QuerySet[Any] = Schema.objects.visible(person).annotate(said=name)
    rows = rows.filter(said__icontains=text, said__gt=after)
    rows = rows.select_related("catalog", "owner")
    return list(rows.order_by("said")[:limit])


def find_catalogs(text: str, after: str, limit: int, person: User) -> list[Any]:
    """Return the visible catalogs whose name contains a text, by name."""
    rows: QuerySet[Any] = Catalog.objects.visible(person).filter(
        name__icontains=text, name__gt=after
    )
    return list(rows.select_related("owner").order_by("name")[:limit])


def _patterns(text: str) -> list[str]:
    """Return the pattern that finds a text as it is, for key and for value."""
    for special in "!%_":
        text = text.replace(special, f"!{special}")
    return [f"%{text.lower()}%"] * 2
