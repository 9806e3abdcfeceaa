"""Who is written to about a request, and when: rows, which `approvals.mail` sends.

Nothing is sent here. A notice is written in the transaction of the event that
calls for it, once per person, kind and round; a round begins when something
happened that makes earlier looks worthless.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from access.models import PrincipalKind, User
from access.who_could import who_could
from approvals.evaluation import APPROVALS
from approvals.gate import conditions
from approvals.models import (
    ApprovalRequest,
    Delegation,
    Notice,
    NoticeKind,
    Reminder,
    RequestStatus,
)
from approvals.reads import visible_requests, voices_of
from approvals.services.delegations import delegations_held_by
from events.models import Event
from events.types import EventType

K = NoticeKind
_BATCH = 100


def ask_reviewers(event: Event) -> None:
    """Write to everybody who may decide on the request of an event."""
    if not settings.MAIL_IS_ON:
        return
    approval = _request_of(event)
    if event.type == EventType.APPROVAL_REQUESTED:
        _write(approval, K.ASKED, 0, able_reviewers(approval))
        return
    others = [one for one in able_reviewers(approval) if one.pk != event.actor_id]
    _write(approval, K.ASKED_AGAIN, event.sequence, others)


def tell_requester(event: Event) -> None:
    """Write to the person who asked how it ended, unless it was their own doing."""
    if not settings.MAIL_IS_ON:
        return
    approval = _request_of(event)
    person = approval.requester.person
    if event.actor_id not in {person.pk, approval.requester_id}:
        _write(approval, K.OUTCOME, 0, [person])


def remind() -> None:
    """Remind of what nobody decided, and of what expires (a keeper's sweep).

    Each once per round: the row of the reminder is the claim to write the notices.
    """
    if not settings.MAIL_IS_ON:
        return
    now = timezone.now()
    for kind, due in ((K.REMINDER, _unanswered(now)), (K.EXPIRING, _expiring(now))):
        for approval in due[:_BATCH]:
            _remind(approval, kind)


@transaction.atomic
def _remind(approval: ApprovalRequest, kind: NoticeKind) -> None:
    number = round_of(approval)
    _, is_ours = Reminder.objects.get_or_create(
        request=approval, kind=kind, round=number
    )
    if is_ours:
        _write(approval, kind, number, able_reviewers(approval))


def _unanswered(now: dt.datetime) -> QuerySet[ApprovalRequest]:
    if not settings.REMIND_AFTER:
        return ApprovalRequest.objects.none()
    since = now - settings.REMIND_AFTER
    lately = Notice.objects.filter(
        request=OuterRef("pk"), kind=K.ASKED_AGAIN, created_at__gt=since
    )
    return _open_without(K.REMINDER).filter(~Exists(lately), opened_at__lte=since)


def _expiring(now: dt.datetime) -> QuerySet[ApprovalRequest]:
    """Return what expires soon; of a request with a short life, its last half."""
    if not settings.REMIND_BEFORE_EXPIRY:
        return ApprovalRequest.objects.none()
    end = now + settings.REMIND_BEFORE_EXPIRY
    soon = _open_without(K.EXPIRING).filter(expires_at__gt=now, expires_at__lte=end)
    return soon.filter(expires_at__lte=now + (now - F("opened_at")))


def _open_without(kind: NoticeKind) -> QuerySet[ApprovalRequest]:
    """Return the pending requests without such a reminder in their round."""
    of_it = Notice.objects.filter(request=OuterRef("pk")).order_by("-round")
    rows = ApprovalRequest.objects.filter(status=RequestStatus.PENDING).alias(
        now_round=Coalesce(Subquery(of_it.values("round")[:1]), 0)
    )
    reminded = Reminder.objects.filter(
        request=OuterRef("pk"), kind=kind, round=OuterRef("now_round")
    )
    return rows.filter(~Exists(reminded)).order_by("expires_at")


def able_reviewers(approval: ApprovalRequest) -> list[User]:
    """Return the persons whose approval is missing and who may give it now.

    Nobody, when no approval is missing. Groups and delegations are resolved, four
    eyes applied.
    """
    if not needs_approvals(approval):
        return []
    could = who_could("decide_approval", approval.model)
    names = [
        one.principal for one in could if one.may_now and one.kind == PrincipalKind.USER
    ]
    now = timezone.now()
    delegates = Delegation.objects.filter(
        delegator__username__in=names,
        revoked_at=None,
        starts_at__lte=now,
        ends_at__gt=now,
    ).values("delegate")
    people = User.objects.filter(Q(username__in=names) | Q(pk__in=delegates))
    return [person for person in people if may_still_decide(approval, person)]


def needs_approvals(approval: ApprovalRequest) -> bool:
    """Tell whether any approval is missing by now."""
    if not approval.is_open or approval.expires_at <= timezone.now():
        return False
    return any(
        condition.kind == APPROVALS and not condition.is_met
        for condition in conditions(approval)
    )


def may_still_decide(approval: ApprovalRequest, person: User) -> bool:
    """Tell whether a person may decide, for themselves or for another, and has not.

    A delegate who may not even see the request could do nothing with a message.
    """
    held = list(delegations_held_by(principal=person))
    if not person.is_active or not voices_of(approval, person, held):
        return False
    return visible_requests(person).filter(pk=approval.pk).exists()


def round_of(approval: ApprovalRequest) -> int:
    """Return the number of the last event that called for a fresh look, or 0."""
    found = approval.notices.aggregate(last=Max("round", default=0))
    return int(found["last"])


def _write(
    approval: ApprovalRequest,
    kind: NoticeKind,
    number: int,
    people: Iterable[User],
) -> None:
    Notice.objects.bulk_create(
        (
            Notice(request=approval, recipient=person, kind=kind, round=number)
            for person in people
            if person.email and person.wants_mail
        ),
        ignore_conflicts=True,
    )


def _request_of(event: Event) -> ApprovalRequest:
    rows = ApprovalRequest.objects.select_related(
        "model__schema__catalog", "version__model", "requester__owner"
    )
    return rows.get(pk=event.data["request_id"])
