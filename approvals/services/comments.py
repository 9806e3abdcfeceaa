"""Talk about a request where it is decided."""

from __future__ import annotations

from django.db import transaction

from access.authz import is_allowed, require_details
from access.models import User
from access.privileges import Privilege
from approvals.gate import why_not_for
from approvals.lifecycle import tell
from approvals.models import ApprovalRequest, Comment
from approvals.services.delegations import delegations_held_by
from core.errors import Conflict, InvalidParameter, PermissionDenied
from events.types import EventType

_MOST = 500
_LONGEST = 5000


@transaction.atomic
def comment_on(approval: ApprovalRequest, text: str, *, principal: User) -> Comment:
    """Add to the thread of a request, open or closed.

    For who sees the model and is concerned: the requester, reviewers and their
    delegates, and who holds MANAGE.
    """
    require_details(principal, approval.model)
    if not may_comment(approval, principal=principal):
        raise PermissionDenied(
            f"{principal.username} has no part in this request: the requester, "
            "reviewers and holders of MANAGE comment on it.",
            reasons=[{"missing": "APPROVE", "full_name": approval.model.full_name}],
        )
    text = text.strip()
    if not text or len(text) > _LONGEST:
        raise InvalidParameter(f"text must have 1 to {_LONGEST} characters.")
    if approval.comments.count() >= _MOST:
        raise Conflict(f"This request has {_MOST} comments; go on elsewhere.")
    comment = Comment.objects.create(request=approval, author=principal, text=text)
    tell(
        EventType.APPROVAL_COMMENTED,
        approval,
        principal=principal,
        comment_id=comment.id,
        comment=text,
    )
    return comment


def may_comment(approval: ApprovalRequest, *, principal: User) -> bool:
    """Tell whether somebody has a part in a request."""
    if principal.person == approval.requester.person:
        return True
    if any(
        is_allowed(principal, privilege, approval.model)
        for privilege in (Privilege.APPROVE, Privilege.MANAGE)
    ):
        return True
    held = delegations_held_by(principal=principal)
    return any(why_not_for(approval, one) is None for one in held)
