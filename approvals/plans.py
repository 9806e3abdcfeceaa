"""The rollout plan of a request or a policy: how traffic is to follow the alias."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from approvals.models import Policy


def choose_plan(
    given: dict[str, Any] | None, policies: Sequence[Policy]
) -> dict[str, Any]:
    """Return the plan that was asked for, else the nearest policy's template.

    Empty means that the endpoint's own plan is followed. Raises InvalidParameter
    for a plan that no rollout could follow.
    """
    templates = (policy.rollout_plan for policy in policies if policy.rollout_plan)
    return check_plan(next(templates, {}) if given is None else given)


def check_plan(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a plan with its defaults filled in; an empty one stays empty.

    What a plan may say is known to the app that rolls out, which stands above.
    """
    if not plan:
        return {}
    check: Callable[[dict[str, Any]], dict[str, Any]] = import_string(
        import_string(settings.REGISTRY_HOOKS)["check_rollout_plan"][0]
    )
    return check(plan)
