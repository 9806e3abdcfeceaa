"""Who reacts to what: the only wiring that goes upward. Read this first."""

from __future__ import annotations

SUBSCRIPTIONS: dict[str, list[str]] = {
    "*": ["webhooks.tasks.fan_out"],
    "alias.set": ["serving.tasks.on_alias_set"],
    # mail: to those who may decide, and to who asked
    "approval.requested": ["approvals.tasks.ask_reviewers"],
    "approval.reset": ["approvals.tasks.ask_reviewers"],
    "approval.policy_changed": ["approvals.tasks.ask_reviewers"],
    "approval.decision_revoked": ["approvals.tasks.ask_reviewers"],
    "approval.applied": ["approvals.tasks.tell_requester"],
    "approval.rejected": ["approvals.tasks.tell_requester"],
    "approval.cancelled": ["approvals.tasks.tell_requester"],
    "approval.expired": ["approvals.tasks.tell_requester"],
    "approval.superseded": ["approvals.tasks.tell_requester"],
    "approval.invalidated": ["approvals.tasks.tell_requester"],
    "approval.failed": ["approvals.tasks.tell_requester"],
    "group.member_removed": ["approvals.tasks.on_requester_changed"],
    "model_version.deleted": ["approvals.tasks.on_deleted"],
    "model_version.tampered": ["approvals.tasks.on_tampered"],
    "owner.transferred": ["approvals.tasks.on_requester_changed"],
    "pipeline_run.succeeded": ["approvals.tasks.on_run_succeeded"],
    "policy.created": ["approvals.tasks.on_policy_created"],
    "principal.deactivated": ["approvals.tasks.on_requester_changed"],
    "registered_model.deleted": ["approvals.tasks.on_deleted"],
}

# Of these, the tasks that take every event that waits for them at one ring.
TAKES_ALL = {"webhooks.tasks.fan_out"}

# Whom the registry asks, or tells, inside its own transaction.
REGISTRY_HOOKS: dict[str, list[str]] = {
    # who adds to the lineage of versions; see registry.lineage
    "lineage": ["runners.lineage.add", "approvals.lineage.add", "serving.lineage.add"],
    # asked by approvals, which stand below the rollouts
    "check_rollout_plan": ["serving.plans.check_plan"],
    # what must not be deleted, and what follows another name; see registry.hooks
    "uses_of_model": ["serving.uses.of_model"],
    "uses_of_version": ["serving.uses.of_version"],
    "follow_rename": [
        "runners.services.pipelines.follow_rename",
        "webhooks.scopes.follow_rename",
    ],
}

# Who still needs an event that is to be archived, and who must let go of it.
EVENT_HOLDERS: dict[str, list[str]] = {
    "pending": ["webhooks.archiving.pending"],
    "let_go": ["webhooks.archiving.let_go"],
}
