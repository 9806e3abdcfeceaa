"""What an endpoint's page draws: shares of traffic, and the steps of a rollout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from serving.models import (
    FULL_WEIGHT,
    Endpoint,
    GatewayStatus,
    Rollout,
    RolloutKind,
    RolloutStatus,
    Route,
)


@dataclass(frozen=True)
class Share:
    """The part of an endpoint's traffic that one version is set to get, and gets."""

    number: int
    slot: int
    set_weight: int
    set_from: int
    seen_weight: int | None
    seen_from: int
    requests: int
    errors: int


@dataclass(frozen=True)
class Step:
    """One step of a rollout: done, current or waiting."""

    words: str
    detail: str
    state: str


def shares_of(endpoint: Endpoint, routes: Iterable[Route]) -> list[Share]:
    """Return the set and the seen share of each version, the oldest first.

    Seen shares come from the gateways' counters of recent requests; there are
    none while there is no traffic.
    """
    seen = _seen(endpoint)
    recent = sum(counts["recent"] for counts in seen.values())
    shares: list[Share] = []
    set_from = seen_from = 0
    for slot, route in enumerate(sorted(routes, key=lambda r: r.version.number)):
        counts = seen.get(str(route.version.number), _NOTHING)
        weight = round(FULL_WEIGHT * counts["recent"] / recent) if recent else None
        shares.append(
            Share(
                number=route.version.number,
                slot=slot % 3,
                set_weight=route.weight,
                set_from=set_from,
                seen_weight=weight,
                seen_from=seen_from,
                requests=counts["requests"],
                errors=counts["errors"],
            )
        )
        set_from += route.weight
        seen_from += weight or 0
    return shares


_NOTHING = {"requests": 0, "errors": 0, "recent": 0}


def _seen(endpoint: Endpoint) -> dict[str, dict[str, int]]:
    """Add up what every gateway counted for the endpoint, by version number."""
    total: dict[str, dict[str, int]] = {}
    for gateway in GatewayStatus.objects.all():
        for number, counts in gateway.seen.get(str(endpoint.pk), {}).items():
            into = total.setdefault(number, dict(_NOTHING))
            for key in _NOTHING:
                into[key] += counts.get(key, 0)
    return total


def problems_of(endpoint: Endpoint) -> list[str]:
    """Return why gateways refuse the endpoint's newest configuration."""
    gateways = GatewayStatus.objects.order_by("name")
    return [
        f"{gateway.name}: {gateway.problems[str(endpoint.pk)]}"
        for gateway in gateways
        if str(endpoint.pk) in gateway.problems
    ]


def steps_of(rollout: Rollout) -> list[Step]:
    """Return the steps of a rollout in order, baking last.

    Only a canary goes through the plan; others get all traffic in one step.
    """
    is_canary = rollout.kind == RolloutKind.CANARY
    steps = rollout.steps if is_canary else rollout.steps[-1:]
    words = [(_words(step), _detail(step)) for step in steps]
    if is_canary:
        words.append(("Bake", f"watch {rollout.plan['bake_seconds']} s"))
    at = _position(rollout, len(steps))
    return [
        Step(text, detail, "done" if i < at else "current" if i == at else "waiting")
        for i, (text, detail) in enumerate(words)
    ]


def _position(rollout: Rollout, count: int) -> int:
    """Return the index of the current step; -1 before the first and after an abort."""
    status = rollout.status
    if status == RolloutStatus.PAUSED:
        status = rollout.paused_from
    positions = {
        RolloutStatus.STEP: rollout.step,
        RolloutStatus.PROMOTING: count - 1,
        RolloutStatus.BAKING: count,
        RolloutStatus.SUCCEEDED: count + 1,
    }
    return positions.get(RolloutStatus(status), -1)


def _words(step: dict[str, Any]) -> str:
    return "Pause" if step.get("pause") else f"{step['weight'] / 100:g}%"


def _detail(step: dict[str, Any]) -> str:
    if step.get("pause"):
        return "until promoted"
    seconds = step.get("min_duration_seconds", 0)
    return f"{seconds} s" if seconds else "at once"
