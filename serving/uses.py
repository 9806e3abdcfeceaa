"""What is served, for the registry's refusal to delete it (see registry.hooks)."""

from __future__ import annotations

from registry.models import ModelVersion, RegisteredModel
from serving.models import Endpoint, ModelServer, Rollout


def of_model(model: RegisteredModel) -> list[str]:
    """Return the endpoints that follow an alias of a model, in words."""
    endpoints = Endpoint.objects.filter(model=model).order_by("full_name")
    return [f"the endpoint {row.full_name} follows @{row.alias}" for row in endpoints]


def of_version(version: ModelVersion) -> list[str]:
    """Return the endpoints that serve a version, or soon may, in words.

    A server kept warm for a rollback counts, and so does a rollout that has not
    ended, in either direction.
    """
    servers = ModelServer.objects.filter(version=version, status__in=ModelServer.LIVE)
    rollouts = Rollout.objects.exclude(status__in=Rollout.ENDED)
    of_it = rollouts.filter(version=version) | rollouts.filter(from_version=version)
    endpoints = {
        *servers.values_list("endpoint__full_name", flat=True),
        *version.routes.values_list("endpoint__full_name", flat=True),
        *of_it.values_list("endpoint__full_name", flat=True),
    }
    return [f"the endpoint {name} serves it" for name in sorted(endpoints)]
