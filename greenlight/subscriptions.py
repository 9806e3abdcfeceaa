"""Who reacts to what: the only wiring that goes upward. Read this first."""

from __future__ import annotations

SUBSCRIPTIONS: dict[str, list[str]] = {
    "*": ["webhooks.tasks.fan_out"],
    "alias.set": ["serving.tasks.on_alias_set"],
    "model_version.deleted": ["approvals.tasks.on_deleted"],
    "pipeline_run.succeeded": ["approvals.tasks.on_run_succeeded"],
    "registered_model.deleted": ["approvals.tasks.on_deleted"],
}

# Whom the registry asks, or tells, inside its own transaction.
REGISTRY_HOOKS: dict[str, list[str]] = {
    # who adds to the lineage of versions; see registry.lineage
    "lineage": ["runners.lineage.add", "approvals.lineage.add", "serving.lineage.add"],
    # what must not be deleted, and what follows another name; see registry.hooks
    "uses_of_model": ["serving.uses.of_model"],
    "uses_of_version": ["serving.uses.of_version"],
    "follow_rename": [
        "runners.services.pipelines.follow_rename",
        "webhooks.scopes.follow_rename",
    ],
}
