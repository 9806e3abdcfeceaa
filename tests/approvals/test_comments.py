"""The thread of a request."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals.models import ApprovalRequest
from core.errors import InvalidParameter, NotFound, PermissionDenied
from events.models import Event

Act = Callable[..., None]


def test_requester_reviewer_and_manager_talk(
    approval: ApprovalRequest, owner: User, reviewer: User, grantee: User, use: Act
) -> None:
    use(grantee, Privilege.MANAGE)
    for person in (owner, reviewer, grantee):
        approvals.comment_on(approval, f" by {person} ", principal=person)
    assert [one.text for one in approval.comments.all()] == [
        "by owner",
        "by approver",
        "by grantee",
    ]
    events = Event.objects.filter(type="approval.commented")
    assert [event.data["comment"] for event in events] == [
        "by owner",
        "by approver",
        "by grantee",
    ]


def test_closed_request_is_still_talked_about(
    approval: ApprovalRequest, owner: User
) -> None:
    approvals.cancel(approval, principal=owner)
    approvals.comment_on(approval, "too early", principal=owner)
    assert approval.comments.count() == 1


def test_who_has_no_part_in_it_does_not_comment(
    approval: ApprovalRequest, grantee: User, stranger: User, use: Act
) -> None:
    use(grantee, Privilege.EXECUTE)
    with pytest.raises(PermissionDenied, match="no part in this"):
        approvals.comment_on(approval, "hello", principal=grantee)
    with pytest.raises(NotFound):
        approvals.comment_on(approval, "hello", principal=stranger)
    assert not approval.comments.exists()


@pytest.mark.parametrize("text", ["", "  ", "x" * 5001])
def test_empty_or_endless_comment_is_refused(
    approval: ApprovalRequest, owner: User, text: str
) -> None:
    with pytest.raises(InvalidParameter, match="text"):
        approvals.comment_on(approval, text, principal=owner)
