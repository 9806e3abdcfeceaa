"""What a policy says as lines of text: for its page, and in the form that changes it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from access.models import User
from access.services import get_principal
from approvals.drafts import Bypass, CheckRule, Draft, ReviewerRule
from approvals.evaluation import say_seconds
from approvals.models import Policy
from approvals.policies import policy_json
from core.errors import InvalidParameter

ANYBODY = "whoever holds APPROVE"
EMPTY_FORM = {
    "alias_pattern": "",
    "rules": f"1 of {ANYBODY}",
    "distinct_reviewers": True,
    "rejects_needed": 1,
    "checks": "",
    "metrics": "",
    "wait": "0s",
    "expires_after": "7d",
    "freezes": "",
    "cooling": "0s",
    "callback_may_approve": False,
    "bypass_principals": "",
    "bypass_min_reason_length": 1,
    "bypass_ticket_pattern": "",
    "rollout_plan": "",
    "note": "",
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,9}) ?([smhd])")
_RULE = re.compile(r"([0-9]{1,4})(?: of (.+))?")
_WEEKLY = re.compile(
    r"((?:[a-z]{3})(?:,[a-z]{3})*) ([0-9:]{5})-([0-9:]{5}) (\S+)(?: (.+))?"
)
_DATED = re.compile(r"([0-9T:-]{10,16}) to ([0-9T:-]{10,16}) (\S+)(?: (.+))?")
_Part = TypeVar("_Part")


def lines_of(policy: Policy) -> list[tuple[str, list[str]]]:
    """Return what a policy asks for, kind by kind, in words."""
    said = fields_of(policy)
    rejects = policy.rejects_needed
    once = "each person counts once" if policy.distinct_reviewers else ""
    who = policy.bypass["principals"]
    past = ", ".join(one["name"] for one in who)
    found = [
        (
            "Approvals",
            [*said["rules"].splitlines(), *([once] if policy.rules[1:] else [])],
        ),
        (
            "Rejects",
            [f"{rejects} close a request"] if rejects > 1 else ["one closes it"],
        ),
        ("Checks", said["checks"].splitlines()),
        ("Metrics", said["metrics"].splitlines()),
        ("Waits", [say_seconds(policy.wait_seconds)] if policy.wait_seconds else []),
        ("Frozen", said["freezes"].splitlines()),
        ("Expires", [f"after {say_seconds(policy.expires_after_seconds)}"]),
        (
            "Cooling",
            [say_seconds(policy.cooling_seconds)] * bool(policy.cooling_seconds),
        ),
        ("Callbacks", ["may approve"] * policy.callback_may_approve),
        ("Bypass", [f"admins{' and ' + past if past else ''}", *_said_why(policy)]),
        ("Rollout", ["has a plan of its own"] * bool(policy.rollout_plan)),
    ]
    return [(name, lines) for name, lines in found if any(lines)]


def _said_why(policy: Policy) -> list[str]:
    length = policy.bypass["min_reason_length"]
    ticket = policy.bypass["ticket_pattern"]
    said = [f"a reason of {length} characters"] if length > 1 else []
    return [*said, *([f"a ticket like {ticket}"] if ticket else [])]


def fields_of(policy: Policy) -> dict[str, Any]:
    """Return the values of the form's fields for a policy."""
    said = policy_json(policy)
    plan = policy.rollout_plan
    return {
        "alias_pattern": policy.alias_pattern,
        "rules": "\n".join(
            f"{one['needed']} of {', '.join(one['principals']) or ANYBODY}"
            for one in said["rules"]
        ),
        "distinct_reviewers": policy.distinct_reviewers,
        "rejects_needed": policy.rejects_needed,
        "checks": "\n".join(map(_check_line, said["checks"])),
        "metrics": "\n".join(policy.metrics),
        "wait": duration_text(policy.wait_seconds),
        "expires_after": duration_text(policy.expires_after_seconds),
        "freezes": "\n".join(map(_freeze_line, policy.freezes)),
        "cooling": duration_text(policy.cooling_seconds),
        "callback_may_approve": policy.callback_may_approve,
        "bypass_principals": ", ".join(said["bypass"]["principals"]),
        "bypass_min_reason_length": policy.bypass["min_reason_length"],
        "bypass_ticket_pattern": policy.bypass["ticket_pattern"],
        "rollout_plan": json.dumps(plan, indent=2) if plan else "",
        "note": "",
    }


def draft_from(sent: Mapping[str, Any]) -> Draft:
    """Read a draft out of what the form sent. Raises InvalidParameter, by field."""
    return Draft(
        alias_pattern=sent.get("alias_pattern", "").strip(),
        rules=_lines(sent, "rules", _rule),
        distinct_reviewers="distinct_reviewers" in sent,
        rejects_needed=_whole(sent, "rejects_needed"),
        checks=_lines(sent, "checks", _check),
        metrics=_lines(sent, "metrics", str),
        wait_seconds=_seconds(sent, "wait"),
        expires_after_seconds=_seconds(sent, "expires_after"),
        freezes=_lines(sent, "freezes", _freeze),
        cooling_seconds=_seconds(sent, "cooling"),
        callback_may_approve="callback_may_approve" in sent,
        bypass=Bypass(
            _principals(sent.get("bypass_principals", "")),
            _whole(sent, "bypass_min_reason_length"),
            sent.get("bypass_ticket_pattern", "").strip(),
        ),
        rollout_plan=_plan(sent.get("rollout_plan", "").strip()),
        note=sent.get("note", "").strip()[:2000],
    )


def duration_text(seconds: int) -> str:
    """Return a duration as the form writes it: 90s, 15m, 2h, 7d."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


def _lines(
    sent: Mapping[str, Any], field: str, read: Callable[[str], _Part]
) -> tuple[_Part, ...]:
    lines = (line.strip() for line in sent.get(field, "").splitlines())
    return tuple(read(line) for line in lines if line)


def _rule(line: str) -> ReviewerRule:
    found = _RULE.fullmatch(line)
    if found is None:
        raise InvalidParameter(
            f"Approvals: write {line[:100]!r} as `2 of risk, alice`, or as `1 of {ANYBODY}`."
        )
    names = found[2] or ANYBODY
    return ReviewerRule(int(found[1]), () if names == ANYBODY else _principals(names))


def _principals(names: str) -> tuple[User, ...]:
    stripped = (name.strip() for name in names.split(","))
    return tuple(get_principal(name) for name in dict.fromkeys(stripped) if name)


def _check_line(check: Mapping[str, Any]) -> str:
    age, reporter = check["max_age_seconds"], check["reporter"]
    parts = [
        check["name"],
        age and f"for {duration_text(age)}",
        reporter and f"by {reporter}",
    ]
    return "; ".join(part for part in parts if part)


def _check(line: str) -> CheckRule:
    name, *rest = (part.strip() for part in line.split(";"))
    age, reporter = None, None
    for part in rest:
        word, _, value = part.partition(" ")
        if word == "for":
            age = _duration(value, "Checks")
        elif word == "by":
            reporter = get_principal(value.strip())
        else:
            raise InvalidParameter(
                f"Checks: write {line[:100]!r} as `drift; for 2h; by monitoring-job`."
            )
    return CheckRule(name, age, reporter)


def _freeze_line(window: Mapping[str, Any]) -> str:
    name = f" {window['name']}" if window.get("name") else ""
    if "days" in window:
        days = ",".join(window["days"])
        return f"{days} {window['from']}-{window['to']} {window['zone']}{name}"
    return f"{window['from']} to {window['to']} {window['zone']}{name}"


def _freeze(line: str) -> dict[str, Any]:
    if found := _WEEKLY.fullmatch(line):
        days, opens, closes, zone, name = found.groups()
        window = {"days": days.split(","), "from": opens, "to": closes, "zone": zone}
        return {**window, "name": name} if name else window
    if found := _DATED.fullmatch(line):
        opens, closes, zone, name = found.groups()
        window = {"from": opens, "to": closes, "zone": zone}
        return {**window, "name": name} if name else window
    raise InvalidParameter(
        f"Freeze: write {line[:100]!r} as `fri,sat 16:00-24:00 Europe/Berlin` or as "
        "`2026-12-24 to 2027-01-01 Europe/Berlin Year end`."
    )


def _seconds(sent: Mapping[str, Any], field: str) -> int:
    text = sent.get(field, "").strip()
    return _duration(text, field.replace("_", " ").capitalize()) if text else 0


def _duration(text: str, field: str) -> int:
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise InvalidParameter(f"{field}: write {text[:50]!r} as 90s, 15m, 2h or 7d.")
    return int(found[1]) * _UNITS[found[2]]


def _whole(sent: Mapping[str, Any], field: str) -> int:
    text = sent.get(field, "").strip() or "1"
    if not text.isdecimal() or len(text) > 9:
        raise InvalidParameter(f"{field} must be a whole number.")
    return int(text)


def _plan(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        plan = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(f"Rollout plan: that is no JSON: {error}.") from error
    if not isinstance(plan, dict):
        raise InvalidParameter('Rollout plan: write an object, {"steps": [...]}.')
    return plan
