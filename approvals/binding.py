"""What a request is bound to: one hash that approvers see and their decisions keep.

It covers the version and its digest, the alias and how often it had moved, the
rollout plan and every policy in its present number. Names are not in it: a
renamed model is the same model.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from approvals.models import ApprovalRequest, Policy
from approvals.policies import policies_of
from core.errors import Conflict

# how many earlier ones a request remembers, only to say what changed
_REMEMBERED = 20


def parts_of(approval: ApprovalRequest) -> dict[str, Any]:
    """Return what a request is bound to at this moment."""
    return {
        "model": str(approval.model_id),
        "version": str(approval.version_id),
        "digest": approval.digest,
        "alias": approval.alias.lower(),
        "alias_generation": approval.alias_generation,
        "rollout_plan": approval.rollout_plan,
        "policies": sorted(str(policy.pk) for policy in policies_of(approval)),
    }


def hash_of(parts: dict[str, Any]) -> str:
    """Return the sha-256 over the parts as canonical JSON."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def bind(approval: ApprovalRequest) -> bool:
    """Bind a locked request to what is true now; tell whether that is news."""
    parts = parts_of(approval)
    binding = hash_of(parts)
    if binding == approval.binding:
        return False
    if approval.binding:
        former = {"binding": approval.binding, "bound_to": approval.bound_to}
        approval.former_bindings = [*approval.former_bindings, former][-_REMEMBERED:]
    approval.binding, approval.bound_to = binding, parts
    approval.save(update_fields=["binding", "bound_to", "former_bindings"])
    return True


def require_bound(approval: ApprovalRequest, binding: str) -> None:
    """Let only a caller through that saw the request as it is. Raises Conflict.

    An empty binding is a caller that named the digest alone.
    """
    if not binding:
        return
    now = hash_of(parts_of(approval))
    if binding == now == approval.binding:
        return
    changed = _changed_since(approval, binding)
    raise Conflict(
        f"What you looked at is not what would be applied now: {'; '.join(changed)}. "
        "Look again.",
        changed=changed,
        binding=approval.binding,
    )


def _changed_since(approval: ApprovalRequest, binding: str) -> list[str]:
    """Say what differs between a binding that a caller saw and the present one."""
    if binding == approval.binding:
        return ["a policy was changed just now"]
    for former in approval.former_bindings:
        if former["binding"] == binding:
            return _differences(approval, former["bound_to"])
    return ["that binding was never one of this request"]


def _differences(approval: ApprovalRequest, before: dict[str, Any]) -> list[str]:
    now = approval.bound_to
    said = []
    if before["alias_generation"] != now["alias_generation"]:
        previous = approval.previous_version
        where = f"version {previous.number}" if previous else "nothing"
        said.append(f"{approval.full_name} moved and points at {where}")
    if before["rollout_plan"] != now["rollout_plan"]:
        said.append("the rollout plan was changed")
    if added := set(now["policies"]) - set(before["policies"]):
        said += [
            f"the policy {policy.full_name} is in force in number {policy.number}"
            for policy in Policy.objects.filter(pk__in=added)
        ]
    if not added and before["policies"] != now["policies"]:
        said.append("a policy is no longer in force")
    return said
