"""What can be secured: the abstract parents of securables and of their grants."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from guardian.models import UserObjectPermissionBase

from access.privileges import GRANTABLE, Privilege
from core.errors import InvalidParameter, NotFound

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

    from access.models import User


def permissions_of(securable: str) -> list[tuple[str, str | StrPromise]]:
    """Return `Meta.permissions` for the grants of one kind of securable."""
    return [(privilege.value, privilege.label) for privilege in GRANTABLE[securable]]


class SecurableQuerySet(models.QuerySet[Any]):
    """Rows that carry an owner and grants."""

    def allowed(self, principal: User, privilege: Privilege) -> Self:
        """Keep the rows on which `require` would let the principal through."""
        from access.conditions import allowed_condition

        return self.filter(allowed_condition(principal, privilege, self.model))

    def visible(self, principal: User) -> Self:
        """Keep the rows whose metadata the principal may see (rule P-4)."""
        from access.conditions import visible_condition

        return self.filter(visible_condition(principal, self.model))

    def detailed(self, principal: User) -> Self:
        """Keep the rows of which the principal sees more than BROWSE shows (P-5)."""
        from access.conditions import detailed_condition

        return self.filter(detailed_condition(principal, self.model))


class PresentManager(models.Manager.from_queryset(SecurableQuerySet)):  # type: ignore[misc]  # a base class made by a call
    """Hides the tombstones of what was deleted; `recorded` has them."""

    def get_queryset(self) -> SecurableQuerySet:
        rows: SecurableQuerySet = super().get_queryset()
        return rows.filter(deleted_at=None)


class Securable(models.Model):
    """A thing with an owner and grants; its children inherit the grants."""

    # How to reach the row itself and its containers from the row, nearest first.
    LEVELS: ClassVar[tuple[str, ...]] = ("self",)
    # everybody knows that it exists; a refusal is never a 404
    IS_PUBLIC: ClassVar[bool] = False
    # of what trains models, the field with the full name of the model
    TRAINS: ClassVar[str] = ""
    # of what is trained so
    IS_TRAINED: ClassVar[bool] = False

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255)
    comment = models.TextField(blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="owned_%(class)ss"
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    objects = SecurableQuerySet.as_manager()
    # all that ever was; a kind that leaves tombstones hides them from `objects`
    recorded = SecurableQuerySet.as_manager()

    class Meta:
        abstract = True
        default_permissions = ()

    def __str__(self) -> str:
        return self.full_name

    @property
    def full_name(self) -> str:
        raise NotImplementedError  # each kind of securable says its own

    @property
    def trained_model(self) -> str:
        """The full name of the model that it trains, or an empty string."""
        return getattr(self, self.TRAINS) if self.TRAINS else ""


class SchemaObject(Securable):
    """A securable inside a schema: a model, pipeline, dataset or endpoint."""

    LEVELS = ("self", "schema", "schema__catalog")

    schema = models.ForeignKey(
        "registry.Schema", models.PROTECT, related_name="%(class)ss"
    )
    # schema's full name + name, kept for lookups by one indexed column
    full_name = models.CharField(max_length=767, unique=True)

    class Meta(Securable.Meta):
        abstract = True
        default_permissions = ()


class Grant(UserObjectPermissionBase):
    """One privilege of one principal on one securable (a guardian direct-FK table).

    `user` is a principal of any kind: a group is granted like a person.
    """

    expires_at = models.DateTimeField(null=True)
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    granted_at = models.DateTimeField(default=timezone.now)

    class Meta(UserObjectPermissionBase.Meta):
        abstract = True
        indexes: ClassVar = [
            # every check asks for the grants of some principals on one object
            models.Index(fields=["content_object", "user"], name="%(class)s_held"),
            # what the sweep takes away
            models.Index(
                fields=["expires_at"],
                name="%(class)s_ends",
                condition=Q(expires_at__isnull=False),
            ),
        ]


def live() -> Q:
    """Return the condition that a grant still counts."""
    return Q(expires_at=None) | Q(expires_at__gt=timezone.now())


# Unity Catalog calls a model a function; its open-source edition, a registered model.
TYPES = {
    "model": "registeredmodel",
    "registered_model": "registeredmodel",
    "function": "registeredmodel",
}


_TYPE_BY_PARTS = {2: "schema", 3: "model"}


def type_of_name(full_name: str) -> str:
    """Guess the type of a securable from the number of parts of its name."""
    if full_name == "metastore":
        return full_name
    return _TYPE_BY_PARTS.get(full_name.count(".") + 1, "catalog")


def kind_named(securable_type: str) -> type[Securable]:
    """Return the kind of a securable type. Raises InvalidParameter naming all types."""
    wanted = TYPES.get(securable_type.lower(), securable_type.lower())
    kinds = {kind._meta.model_name: kind for kind in kinds_of_securables()}
    if wanted not in kinds:
        known = ", ".join(sorted({*TYPES, *(name or "" for name in kinds)}))
        raise InvalidParameter(
            f"securable_type {securable_type!r} is unknown; use one of {known}."
        )
    return kinds[wanted]


def find_securable(securable_type: str, full_name: str) -> Securable:
    """Return a securable by its type and full name.

    Raises InvalidParameter for an unknown type, NotFound for an unknown name.
    """
    kind = kind_named(securable_type)
    rows = kind.objects.filter(_by_name(kind._meta.model_name or "", full_name))
    found: Securable | None = rows.first()
    if found is None:
        # in the words of `authz.unknown`: who may not know of it reads the same
        raise NotFound(f"No {kind._meta.verbose_name} {full_name} that you may see.")
    return found


def kinds_of_securables() -> list[type[Securable]]:
    """Return every kind of securable of the installation."""
    return [kind for kind in apps.get_models() if issubclass(kind, Securable)]


def _by_name(kind: str, full_name: str) -> Q:
    if kind in {"metastore", "catalog", "experiment"}:
        return Q(name=full_name)
    if kind == "schema":
        catalog, _, name = full_name.partition(".")
        return Q(catalog__name=catalog, name=name)
    return Q(full_name=full_name)
