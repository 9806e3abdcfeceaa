"""Send the notices that are due, one message per person.

A notice is claimed by a conditional UPDATE that puts off its next attempt, so
several keepers are harmless; it is sent outside any transaction. A process that
dies between sending and noting it leads to a second message with the same
Message-ID, which mail readers show once.
"""

from __future__ import annotations

import datetime as dt
import logging
import smtplib
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.validators import validate_email
from django.template.loader import render_to_string
from django.utils import timezone

from approvals.gate import unmet
from approvals.models import ApprovalRequest, Notice, NoticeKind, NoticeStatus
from approvals.notices import may_still_decide, needs_approvals, round_of
from core.states import transition

logger = logging.getLogger(__name__)

K, S = NoticeKind, NoticeStatus
_BATCH = 50
# Longer than a server may take; then another process tries.
_LEASE = dt.timedelta(minutes=5)
_PAUSES = [dt.timedelta(minutes=m) for m in (1, 5, 30, 120, 360, 720)]
_LONGEST_SUBJECT = 180
_SUBJECTS = {
    K.ASKED: "Please decide: {what}",
    K.ASKED_AGAIN: "Please look again: {what}",
    K.REMINDER: "Still waiting for you: {what}",
    K.EXPIRING: "Expires soon: {what}",
    K.OUTCOME: "{status}: {what}",
}


def send_due() -> None:
    """Send what is due (a keeper's sweep); a server that is away ends the round."""
    if not settings.MAIL_IS_ON:
        return
    due = Notice.objects.filter(
        status=S.PENDING, next_attempt_at__lte=timezone.now()
    ).select_related(
        "recipient",
        "request__model__schema__catalog",
        "request__version__model",
        "request__previous_version",
        "request__requester__owner",
    )
    found = list(due.order_by("next_attempt_at")[:_BATCH])
    if not found:
        return
    connection = get_connection()
    try:
        for notice in found:
            if _claim(notice) and not _handle(notice, connection):
                break
    finally:
        connection.close()


def _claim(notice: Notice) -> bool:
    until = timezone.now() + _LEASE
    row = Notice.objects.filter(
        pk=notice.pk, status=S.PENDING, next_attempt_at=notice.next_attempt_at
    )
    return bool(row.update(next_attempt_at=until))


def _handle(notice: Notice, connection: BaseEmailBackend) -> bool:
    """Send a claimed notice or drop it; tell whether the server is there."""
    if not is_wanted(notice):
        transition(notice, S.DROPPED)
        return True
    try:
        connection.send_messages([message(notice)])
    except smtplib.SMTPRecipientsRefused as error:
        _refused(notice, error)
        return True
    except (OSError, smtplib.SMTPException) as error:
        _failed(notice, type(error).__name__)
        connection.close()
        return isinstance(error, smtplib.SMTPResponseException)
    transition(notice, S.SENT, sent_at=timezone.now(), error="")
    return True


def _refused(notice: Notice, error: smtplib.SMTPRecipientsRefused) -> None:
    """Give up at once where the server knows no such address."""
    codes = [code for code, _ in error.recipients.values()]
    name = f"recipient refused ({', '.join(map(str, codes))})"
    if all(code >= 500 for code in codes):
        transition(notice, S.FAILED, error=name)
        return
    _failed(notice, name)


def _failed(notice: Notice, name: str) -> None:
    """Try again later; after the last pause no more."""
    logger.warning("mail not sent", extra={"notice_id": str(notice.pk), "error": name})
    failures = notice.failures + 1
    if failures > len(_PAUSES):
        transition(notice, S.FAILED, failures=failures, error=name[:100])
        return
    Notice.objects.filter(pk=notice.pk, status=S.PENDING).update(
        failures=failures,
        error=name[:100],
        next_attempt_at=timezone.now() + _PAUSES[failures - 1],
    )


def is_wanted(notice: Notice) -> bool:
    """Tell whether a notice still is of interest to who would get it."""
    person, approval = notice.recipient, notice.request
    if not (person.is_active and person.wants_mail and _is_address(person.email)):
        return False
    if notice.kind == K.OUTCOME:
        return True
    if notice.round != round_of(approval) or not needs_approvals(approval):
        return False
    return may_still_decide(approval, person)


def _is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def message(notice: Notice) -> EmailMultiAlternatives:
    """Return the message of a notice: text and HTML, to one person alone."""
    context = _context(notice)
    host = urlsplit(settings.PUBLIC_URL).hostname
    account = f"{settings.PUBLIC_URL}/account/"
    mail = EmailMultiAlternatives(
        subject=context["subject"],
        body=render_to_string("approvals/notice.txt", context),
        to=[notice.recipient.email],
        headers={
            "Message-ID": f"<{notice.pk}@{host}>",
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": f"<{account}>",
        },
    )
    html = render_to_string("approvals/notice.html", context)
    mail.attach_alternative(html, "text/html")
    return mail


def _context(notice: Notice) -> dict[str, Any]:
    approval = notice.request
    what = f"{approval.full_name} to version {approval.version.number}"
    status = approval.get_status_display()
    subject = _SUBJECTS[K(notice.kind)].format(what=what, status=status)
    return {
        "notice": notice,
        "subject": one_line(subject)[:_LONGEST_SUBJECT],
        "one": approval,
        "model": one_line(approval.model.full_name),
        "alias": one_line(approval.alias),
        "requester": one_line(approval.requester.username),
        "reason": approval.reason[:1000],
        "closing_reason": one_line(approval.closing_reason),
        "unmet": _unmet(approval),
        "is_outcome": notice.kind == K.OUTCOME,
        "account_url": f"{settings.PUBLIC_URL}/account/",
    }


def _unmet(approval: ApprovalRequest) -> list[str]:
    return [one_line(words) for words in unmet(approval)]


def one_line(text: str) -> str:
    """Return a text without line breaks, which would begin another header."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
