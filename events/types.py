"""Every kind of event, `noun.verb_past`."""

from __future__ import annotations

from django.db import models


class Outcome(models.TextChoices):
    """How an attempt ended, for auditors to filter by."""

    SUCCESS = "success"
    DENIED = "denied"
    ERROR = "error"


class EventType(models.TextChoices):
    PRINCIPAL_CREATED = "principal.created"
    PRINCIPAL_LOCKED_OUT = "principal.locked_out"
    TOKEN_ISSUED = "token.issued"
    TOKEN_REVOKED = "token.revoked"
    GRANT_ADDED = "grant.added"
    GRANT_REVOKED = "grant.revoked"
    GRANT_EXPIRED = "grant.expired"
    ACCESS_REQUESTED = "access.requested"
    ACCESS_GRANTED = "access.granted"
    ACCESS_DECLINED = "access.declined"
    ACCESS_WITHDRAWN = "access.withdrawn"
    PRINCIPAL_ACTIVATED = "principal.activated"
    PRINCIPAL_DEACTIVATED = "principal.deactivated"
    PRINCIPAL_UPDATED = "principal.updated"
    GROUP_MEMBER_ADDED = "group.member_added"
    GROUP_MEMBER_REMOVED = "group.member_removed"
    OWNER_TRANSFERRED = "owner.transferred"
    CATALOG_CREATED = "catalog.created"
    CATALOG_UPDATED = "catalog.updated"
    CATALOG_DELETED = "catalog.deleted"
    SCHEMA_CREATED = "schema.created"
    SCHEMA_UPDATED = "schema.updated"
    SCHEMA_DELETED = "schema.deleted"
    REGISTERED_MODEL_CREATED = "registered_model.created"
    REGISTERED_MODEL_ADOPTED = "registered_model.adopted"
    REGISTERED_MODEL_UPDATED = "registered_model.updated"
    EXPERIMENT_ADOPTED = "experiment.adopted"
    REGISTERED_MODEL_RENAMED = "registered_model.renamed"
    REGISTERED_MODEL_DELETED = "registered_model.deleted"
    MODEL_VERSION_CREATED = "model_version.created"
    MODEL_VERSION_ADOPTED = "model_version.adopted"
    MODEL_VERSION_READY = "model_version.ready"
    MODEL_VERSION_FAILED = "model_version.failed"
    MODEL_VERSION_UPDATED = "model_version.updated"
    MODEL_VERSION_READ = "model_version.read"
    MODEL_VERSION_DELETED = "model_version.deleted"
    MODEL_VERSION_TAMPERED = "model_version.tampered"
    TAG_SET = "tag.set"
    TAG_DELETED = "tag.deleted"
    EXPERIMENT_CREATED = "experiment.created"
    EXPERIMENT_RENAMED = "experiment.renamed"
    EXPERIMENT_DELETED = "experiment.deleted"
    EXPERIMENT_RESTORED = "experiment.restored"
    ALIAS_SET = "alias.set"
    ALIAS_BREAK_GLASS = "alias.break_glass"
    ALIAS_DELETED = "alias.deleted"
    POLICY_CREATED = "policy.created"
    POLICY_RETIRED = "policy.retired"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_DECIDED = "approval.decided"
    APPROVAL_CHECKED = "approval.checked"
    APPROVAL_APPROVED = "approval.approved"
    APPROVAL_APPLIED = "approval.applied"
    APPROVAL_REJECTED = "approval.rejected"
    APPROVAL_CANCELLED = "approval.cancelled"
    APPROVAL_EXPIRED = "approval.expired"
    APPROVAL_SUPERSEDED = "approval.superseded"
    APPROVAL_INVALIDATED = "approval.invalidated"
    APPROVAL_FAILED = "approval.failed"
    APPROVAL_RESET = "approval.reset"
    APPROVAL_POLICY_CHANGED = "approval.policy_changed"
    APPROVAL_DECISION_REVOKED = "approval.decision_revoked"
    APPROVAL_COMMENTED = "approval.commented"
    DELEGATION_CREATED = "delegation.created"
    DELEGATION_REVOKED = "delegation.revoked"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_UPDATED = "webhook.updated"
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_ENABLED = "webhook.enabled"
    WEBHOOK_DELETED = "webhook.deleted"
    WEBHOOK_PINGED = "webhook.pinged"
    WEBHOOK_REDELIVERED = "webhook.redelivered"
    WEBHOOK_SECRET_ROTATED = "webhook.secret_rotated"
    WEBHOOK_SECRET_EXPIRED = "webhook.secret_expired"
    PACKAGE_UPLOADED = "package.uploaded"
    PACKAGE_TRAINED = "package.trained"
    DATASET_CREATED = "dataset.created"
    SNAPSHOT_CREATED = "snapshot.created"
    PIPELINE_CREATED = "pipeline.created"
    PIPELINE_RUN_QUEUED = "pipeline_run.queued"
    PIPELINE_RUN_STARTED = "pipeline_run.started"
    PIPELINE_RUN_SUCCEEDED = "pipeline_run.succeeded"
    PIPELINE_RUN_FAILED = "pipeline_run.failed"
    PIPELINE_RUN_CANCELLED = "pipeline_run.cancelled"
    PIPELINE_RUN_RETRIED = "pipeline_run.retried"
    ENDPOINT_CREATED = "endpoint.created"
    MODEL_SERVER_FAILED = "model_server.failed"
    ROLLOUT_STARTED = "rollout.started"
    ROLLOUT_STEPPED = "rollout.stepped"
    ROLLOUT_PAUSED = "rollout.paused"
    ROLLOUT_RESUMED = "rollout.resumed"
    ROLLOUT_PROMOTED = "rollout.promoted"
    ROLLOUT_ABORTED = "rollout.aborted"
    ROLLOUT_COMPLETED = "rollout.completed"
    ROLLOUT_ROLLED_BACK = "rollout.rolled_back"
    ACCESS_DENIED = "access.denied"
    SIGN_IN_FAILED = "sign_in.failed"
    TOKEN_REFUSED = "token.refused"
    AUDIT_EXPORTED = "audit.exported"
    AUDIT_SEALED = "audit.sealed"
    AUDIT_ARCHIVED = "audit.archived"


# Who was refused must not learn from them what there is: they are for auditors, and
# for those who may read the audit log of the object.
REFUSALS = frozenset(
    {EventType.ACCESS_DENIED, EventType.SIGN_IN_FAILED, EventType.TOKEN_REFUSED}
)
_DENIALS = {*REFUSALS, EventType.PRINCIPAL_LOCKED_OUT}


def outcome_of(event_type: EventType) -> Outcome:
    """Tell how what an event of a type tells of ended."""
    if event_type in _DENIALS:
        return Outcome.DENIED
    verb = event_type.value.partition(".")[2]
    return Outcome.ERROR if verb in {"failed", "tampered"} else Outcome.SUCCESS
