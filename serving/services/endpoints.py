"""Endpoints: create one, find the ones that a principal may see."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from access.authz import explain, require, require_visible
from access.models import User
from access.privileges import Privilege
from core.errors import (
    AlreadyExists,
    InvalidParameter,
    PermissionDenied,
    unseen,
)
from events.services import emit
from events.types import EventType
from registry import services as registry
from registry.models import RegisteredModel
from registry.names import split_full_name
from serving.models import Endpoint
from serving.plans import check_plan
from serving.services.rollouts import start_rollout


def visible_endpoints(principal: User) -> QuerySet[Endpoint]:
    """Return the endpoints that a principal sees, if only by BROWSE."""
    rows: QuerySet[Endpoint] = Endpoint.objects.visible(principal)
    return rows.select_related("schema__catalog", "owner", "model", "run_as")


def known_endpoints(principal: User) -> QuerySet[Endpoint]:
    """Return the endpoints of which a principal sees the details."""
    rows: QuerySet[Endpoint] = Endpoint.objects.detailed(principal)
    return rows.select_related("schema__catalog", "owner", "model", "run_as")


def get_endpoint(full_name: str) -> Endpoint:
    """Return an endpoint by full name, with its containers. Raises NotFound."""
    rows = Endpoint.objects.select_related(
        "schema__catalog__owner", "schema__owner", "owner", "model", "run_as"
    )
    found: Endpoint | None = rows.filter(full_name=full_name).first()
    if found is None:
        raise unseen("endpoint", full_name)
    return found


@transaction.atomic
def create_endpoint(
    full_name: str,
    model: RegisteredModel,
    alias: str,
    *,
    plan: dict[str, Any] | None = None,
    run_as: User | None = None,
    principal: User,
) -> Endpoint:
    """Create an endpoint that follows an alias, owned by the principal.

    `run_as` is the principal whose EXECUTE lets it load the model: oneself, or a
    service principal that one owns. When the alias points at a version already,
    its rollout begins at once.
    """
    catalog, schema_name, name = split_full_name(full_name, "endpoint")
    schema = registry.get_schema(f"{catalog}.{schema_name}")
    require(principal, Privilege.CREATE_ENDPOINT, schema)
    registry.keep(schema)
    if model.is_prompt:
        raise InvalidParameter(f"model {model.full_name} is a prompt; name a model.")
    run_as = run_as or principal
    _require_may_act_as(principal, run_as)
    _require_execute(run_as, model, principal)
    if not alias or len(alias) > 255:
        raise InvalidParameter("alias must have 1 to 255 characters.")
    endpoint = Endpoint(
        name=name,
        schema=schema,
        full_name=full_name,
        owner=principal,
        model=model,
        alias=alias,
        run_as=run_as,
        plan=check_plan(plan),
    )
    _insert(endpoint)
    event = emit(
        EventType.ENDPOINT_CREATED,
        endpoint,
        principal=principal,
        model=model.full_name,
        alias=alias,
        run_as=run_as.username,
    )
    pointer = registry.get_alias(model, alias)
    if pointer is not None and pointer.version is not None:
        start_rollout(endpoint, pointer.version, event)
    return endpoint


def _insert(endpoint: Endpoint) -> None:
    taken = Endpoint.objects.filter(schema=endpoint.schema, name__iexact=endpoint.name)
    try:
        with transaction.atomic():
            endpoint.save(force_insert=True)
    except IntegrityError as error:
        if not taken.exists():
            raise
        raise AlreadyExists(
            f"There is an endpoint {endpoint.full_name} already."
        ) from error


def run_as_problems(endpoint: Endpoint) -> list[dict[str, Any]]:
    """Say what the endpoint's run-as principal lacks to load the model (rule P-8)."""
    return _missing_execute(endpoint.run_as, endpoint.model)


def _require_may_act_as(principal: User, run_as: User) -> None:
    """Refuse to lend someone else's rights to an endpoint of one's own."""
    if principal in (run_as, run_as.owner) or principal.is_superuser:
        return
    raise PermissionDenied(
        f"run_as must be yourself or a service principal that you own, not {run_as}."
    )


def _require_execute(run_as: User, model: RegisteredModel, principal: User) -> None:
    if reasons := _missing_execute(run_as, model):
        if run_as == principal:
            require(principal, Privilege.EXECUTE, model)
        require_visible(principal, model)
        wanted = ", ".join(f"{r['missing']} on {r['full_name']}" for r in reasons)
        raise PermissionDenied(
            f"The endpoint would run as {run_as.username}, who lacks {wanted}.",
            reasons=reasons,
        )


def _missing_execute(run_as: User, model: RegisteredModel) -> list[dict[str, Any]]:
    requirements = explain(run_as, Privilege.EXECUTE, model)
    return [needed.as_reason() for needed in requirements if not needed.met]


def followers(model_id: Any, alias: str) -> QuerySet[Endpoint]:
    """Return the endpoints that follow an alias of a model."""
    rows = Endpoint.objects.filter(Q(model_id=model_id), alias__iexact=alias)
    return rows.select_related("schema__catalog", "owner", "model", "run_as")
