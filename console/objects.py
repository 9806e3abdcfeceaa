"""Any securable as a page sees it: found by kind and name, with its tabs and words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from access.models import User
from access.privileges import GRANTABLE, Privilege
from access.securables import Securable, find_securable
from console import words
from core.errors import unseen

# Kind in the code -> what people call it, where these differ.
_SAID = {"registeredmodel": "model"}

_ICONS = {
    "pipeline": "run",
    "dataset": "file",
    "experiment": "activity",
    "metastore": "server",
}


@dataclass(frozen=True)
class Tab:
    """One face of an object: its name, its words and its address."""

    name: str
    words: str
    url: str


def kind_of(securable: Securable) -> str:
    """Return the kind of a securable as people call it."""
    name = securable._meta.model_name or ""
    return _SAID.get(name, name)


def icon_of(securable: Securable) -> str:
    return _ICONS.get(kind_of(securable), kind_of(securable))


def find_visible(kind: str, full_name: str, person: User) -> Any:
    """Return a securable that the person may see. Raises NotFound."""
    found = find_securable(kind, full_name)
    rows = type(found).objects.visible(person)
    if not type(found).IS_PUBLIC and not rows.filter(pk=found.pk).exists():
        raise unseen(kind, full_name)
    return found


def applicable_privileges(securable: Securable) -> list[Privilege]:
    """Return the privileges that may be granted on an object, in a fixed order."""
    return list(GRANTABLE[securable._meta.model_name or ""])


def url_to(securable: Securable, page: str) -> str:
    """Return the address of a page that every securable has."""
    return reverse(f"console:{page}", args=[kind_of(securable), securable.full_name])


def tabs_of(securable: Securable) -> list[Tab]:
    """Return the tabs of an object; the first is its own page, if it has one."""
    kind = securable._meta.model_name or ""
    own = words.url_of(kind, securable.full_name, securable.pk)
    first = "Versions" if kind == "registeredmodel" else "Overview"
    tabs = [Tab("overview", first, own)] if own else []
    tabs += [
        Tab("permissions", "Permissions", url_to(securable, "permissions")),
        Tab("activity", "Activity", url_to(securable, "object_activity")),
    ]
    if kind == "registeredmodel":
        tabs.append(Tab("settings", "Settings", f"{own}settings/"))
    if kind in {"catalog", "schema"}:
        url = url_to(securable, "container_settings")
        tabs.append(Tab("settings", "Settings", url))
    return tabs


def crumbs_of(securable: Any) -> list[tuple[str, str]]:
    """Return words and address of what an object stands in, the outermost first."""
    kind = securable._meta.model_name
    if kind == "endpoint":
        return [("Endpoints", reverse("console:endpoints"))]
    if kind in {"pipeline", "dataset", "experiment"}:
        return [(f"{kind.capitalize()}s", reverse(f"console:{kind}s"))]
    crumbs = [("Catalog", reverse("console:catalogs"))]
    schema = getattr(securable, "schema", None)
    catalog = schema.catalog if schema else getattr(securable, "catalog", None)
    if catalog:
        crumbs.append((catalog.name, words.url_of("catalog", catalog.name, catalog.pk)))
    if schema:
        crumbs.append(
            (schema.name, words.url_of("schema", schema.full_name, schema.pk))
        )
    return crumbs
