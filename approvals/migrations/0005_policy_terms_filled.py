"""Say what the policies said before in the new columns."""

from __future__ import annotations

from typing import Any

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_NO_BYPASS = {"principals": [], "min_reason_length": 1, "ticket_pattern": ""}
# what a policy of before did not ask for
_NOTHING_MORE = {
    "distinct_reviewers": True,
    "rejects_needed": 1,
    "metrics": [],
    "wait_seconds": 0,
    "freezes": [],
    "cooling_seconds": 0,
    "is_retired": False,
    "note": "",
    "created_by": "",
}
_BATCH = 500


def fill(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Make one rule of each count and its reviewers; checks become objects."""
    policies: Any = apps.get_model("approvals", "Policy")
    rows = policies.objects.prefetch_related("reviewers")
    for policy in rows.iterator(chunk_size=_BATCH):
        named = sorted(policy.reviewers.all(), key=lambda one: one.username)
        listed = [{"id": str(one.pk), "name": one.username} for one in named]
        policy.rules = [{"needed": policy.approvals_needed, "principals": listed}]
        policy.checks = [
            {"name": name, "max_age_seconds": None, "reporter": None}
            for name in policy.checks
        ]
        policy.bypass = _NO_BYPASS
        policy.save(update_fields=["rules", "checks", "bypass"])


    for request in _requests(apps):
        for entry in request.policy_snapshot["policies"]:
            entry["checks"] = [
                {"name": name, "max_age_seconds": None, "reporter": None}
                for name in entry["checks"]
            ]
            principals = entry["reviewers"]
            rule = {"needed": entry["approvals_needed"], "principals": principals}
            entry.update({**_NOTHING_MORE, "rules": [rule], "bypass": _NO_BYPASS})
        request.save(update_fields=["policy_snapshot"])


def _requests(apps: Apps) -> Any:
    requests: Any = apps.get_model("approvals", "ApprovalRequest")
    return requests.objects.iterator(chunk_size=_BATCH)


def empty(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Keep what the old columns can say: the sum, all reviewers, names of checks."""
    policies: Any = apps.get_model("approvals", "Policy")
    for policy in policies.objects.iterator(chunk_size=_BATCH):
        policy.approvals_needed = sum(rule["needed"] for rule in policy.rules) or 1
        policy.checks = [check["name"] for check in policy.checks]
        policy.save(update_fields=["approvals_needed", "checks"])
        policy.reviewers.set(
            {who["id"] for rule in policy.rules for who in rule["principals"]}
        )
    for request in _requests(apps):
        for entry in request.policy_snapshot["policies"]:
            entry["checks"] = [check["name"] for check in entry["checks"]]
            for key in (*_NOTHING_MORE, "rules", "bypass"):
                entry.pop(key, None)
        request.save(update_fields=["policy_snapshot"])


class Migration(migrations.Migration):
    dependencies = [("approvals", "0004_policy_terms")]

    operations = [migrations.RunPython(fill, empty)]
