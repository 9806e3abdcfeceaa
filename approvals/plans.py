"""The rollout plan that a policy proposes: how traffic is to follow the alias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string


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
