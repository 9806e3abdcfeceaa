"""Rollout plans: which share of the traffic, for how long, in which order."""

from __future__ import annotations

from typing import Any

from core.errors import InvalidParameter
from serving.models import FULL_WEIGHT

DEFAULT_PLAN: dict[str, Any] = {
    "steps": [
        {"weight": 1000, "min_duration_seconds": 5},
        {"weight": 5000, "min_duration_seconds": 5},
        {"weight": FULL_WEIGHT, "min_duration_seconds": 0},
    ],
    # how long after the last step a failure still rolls back by itself
    "bake_seconds": 30,
    # how long the former champion stays ready for a rollback at once
    "keep_warm_seconds": 24 * 3600,
    # a rollout that has not baked by then is rolled back
    "deadline_seconds": 24 * 3600,
    # the same caller gets the same version while a step lasts
    "sticky": False,
    "timeout_seconds": 60,
}
_MAX_SECONDS = 30 * 24 * 3600
_MAX_STEPS = 50


def check_plan(plan: dict[str, Any] | None) -> dict[str, Any]:
    """Return the plan with its defaults filled in. Raises InvalidParameter."""
    given = plan or {}
    if unknown := sorted(given.keys() - DEFAULT_PLAN.keys()):
        known = ", ".join(DEFAULT_PLAN)
        raise InvalidParameter(f"plan has no {unknown[0]!r}; it has {known}.")
    full = {**DEFAULT_PLAN, **given}
    for key in ("bake_seconds", "keep_warm_seconds"):
        _number(f"plan.{key}", full[key], 0, _MAX_SECONDS)
    for key in ("deadline_seconds", "timeout_seconds"):
        _number(f"plan.{key}", full[key], 1, _MAX_SECONDS)
    if not isinstance(full["sticky"], bool):
        raise InvalidParameter("plan.sticky must be true or false.")
    full["steps"] = _steps(full["steps"])
    return full


def _steps(steps: Any) -> list[dict[str, Any]]:
    if not isinstance(steps, list) or not 1 <= len(steps) <= _MAX_STEPS:
        raise InvalidParameter(f"plan.steps must be a list of 1 to {_MAX_STEPS} steps.")
    checked = [_step(f"plan.steps[{at}]", step) for at, step in enumerate(steps)]
    weights = [step["weight"] for step in checked if "weight" in step]
    if weights != sorted(set(weights)):
        raise InvalidParameter("plan.steps: each weight must exceed the one before it.")
    if not weights or "weight" not in checked[0]:
        raise InvalidParameter("plan.steps must begin with a weight.")
    if FULL_WEIGHT not in weights:
        checked.append({"weight": FULL_WEIGHT, "min_duration_seconds": 0})
    if "weight" not in checked[-1]:
        raise InvalidParameter("plan.steps: nothing may follow the full weight.")
    return checked


def _step(where: str, step: Any) -> dict[str, Any]:
    if step == {"pause": True}:
        return {"pause": True}
    keys = {"weight", "min_duration_seconds"}
    if not isinstance(step, dict) or "weight" not in step or step.keys() - keys:
        raise InvalidParameter(
            f'{where} must be {{"weight": 1..{FULL_WEIGHT}, "min_duration_seconds": n}} '
            'or {"pause": true}.'
        )
    _number(f"{where}.weight", step["weight"], 1, FULL_WEIGHT)
    seconds = step.get("min_duration_seconds", 0)
    _number(f"{where}.min_duration_seconds", seconds, 0, _MAX_SECONDS)
    return {"weight": step["weight"], "min_duration_seconds": seconds}


def _number(name: str, value: Any, low: int, high: int) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not low <= value <= high
    ):
        raise InvalidParameter(f"{name} must be a whole number from {low} to {high}.")
