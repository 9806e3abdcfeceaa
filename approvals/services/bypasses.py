"""Break the glass: move a protected alias at once, with a reason, on the record."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from access.authz import require
from access.facts import settled_principals_of
from access.models import User
from access.privileges import Privilege
from access.ways import is_able, require_able
from approvals.lifecycle import close, lock_open, reset_if_moved
from approvals.models import ApprovalRequest, Bypass, Policy, RequestStatus
from approvals.policies import cooling_of, policies_in_force
from core.errors import Conflict, InvalidParameter
from registry import artifacts
from registry import services as registry
from registry.models import Alias, ModelVersion, RegisteredModel


def break_glass(
    model: RegisteredModel,
    alias: str,
    version: ModelVersion,
    *,
    reason: str,
    ticket: str = "",
    principal: User,
) -> Alias:
    """Set an alias at once, past its policies.

    For admins, and for whom every policy of the alias lists; who joined a listed
    group within the cooling period is not listed yet. The policies say how long the
    reason is and what a ticket looks like. The bytes are hashed first: integrity is
    never bypassed. `GREENLIGHT_BREAK_GLASS=false` switches this off.

    A request for the same version is superseded; one for another is asked anew.
    """
    policies = policies_in_force(model, alias)
    listed = settings.BREAK_GLASS and _is_listed(policies, principal)
    if listed:
        require(principal, Privilege.EXECUTE, model)
    else:
        require_able(principal, "break_glass", model)
    reason, ticket = reason.strip(), ticket.strip()
    _require_said(policies, reason, ticket)
    registry.check_alias_move(model, alias, version)
    _require_intact(version)
    move = registry.bypass_policy if listed else registry.break_glass
    with transaction.atomic():
        waiting = lock_open(model, alias)
        moved = move(
            model, alias, version, reason=reason, ticket=ticket, principal=principal
        )
        Bypass.objects.create(
            model=model,
            alias=moved.name,
            generation=moved.generation,
            version=version,
            digest=version.digest,
            reason=reason,
            ticket=ticket,
            policies=[str(policy.pk) for policy in policies],
            bypassed_by=principal,
        )
        if waiting:
            _draw_consequence(waiting, version, reason, principal)
    return moved


def may_break_glass(model: RegisteredModel, alias: str, *, principal: User) -> bool:
    """Tell whether somebody may go past the policies of an alias, for forms."""
    if not settings.BREAK_GLASS:
        return False
    if is_able(principal, "break_glass", model):
        return True
    return _is_listed(policies_in_force(model, alias), principal)


def _draw_consequence(
    waiting: ApprovalRequest, version: ModelVersion, reason: str, principal: User
) -> None:
    if waiting.version_id != version.pk:
        reset_if_moved(waiting)
        return
    said = f"{principal.username} broke the glass: {reason}"
    close(waiting, RequestStatus.SUPERSEDED, said, principal=principal)


def _is_listed(policies: Sequence[Policy], principal: User) -> bool:
    """Tell whether every policy lets the principal past it; all hold together."""
    if not policies or not (principal.is_active and principal.person.is_active):
        return False
    since = timezone.now() - cooling_of(policies)
    mine = {str(one) for one in settled_principals_of(principal, since)}
    return all(
        any(who["id"] in mine for who in policy.bypass["principals"])
        for policy in policies
    )


def _require_said(policies: Sequence[Policy], reason: str, ticket: str) -> None:
    """Let only a reason and a ticket through that every policy takes."""
    length = max([1, *(one.bypass["min_reason_length"] for one in policies)])
    if len(reason) < length:
        raise InvalidParameter(
            "reason: say why this cannot wait for an approval, in at least "
            f"{length} character(s)."
        )
    for policy in policies:
        pattern = policy.bypass["ticket_pattern"]
        if pattern and not fnmatchcase(ticket, pattern):
            raise InvalidParameter(
                f"ticket must look like {pattern}; the policy {policy.full_name} "
                "asks for it."
            )


def _require_intact(version: ModelVersion) -> None:
    if problems := artifacts.verify(version):
        registry.report_tampering(version, problems)
        raise Conflict(
            f"The bytes of {version.full_name} were changed on disk; nobody bypasses "
            "that.",
            problems=problems,
        )
