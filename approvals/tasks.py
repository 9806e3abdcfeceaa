"""What happens to requests by themselves."""

from __future__ import annotations

import logging

from django.db.models import Q
from django.utils import timezone

from access.models import User
from approvals import notices
from approvals import services as approvals
from approvals.lifecycle import settle
from approvals.models import OPEN, ApprovalRequest
from core.errors import DomainError
from events.models import Event
from events.tasks import subscriber
from registry import services as registry
from registry.models import VersionStatus

logger = logging.getLogger(__name__)
_BATCH = 100


@subscriber
def on_run_succeeded(event: Event) -> None:
    """Ask for the alias that a training run was told to ask for.

    A refusal is final and is logged: asking again would be refused again.
    """
    if not event.data.get("request_alias"):
        return
    try:
        _ask(event)
    except DomainError as error:
        logger.warning(
            "alias not requested",
            extra={"event_id": str(event.id), "reason": error.message},
        )


def _ask(event: Event) -> None:
    alias = event.data["request_alias"]
    model = registry.get_model(event.data["model"])
    version = registry.get_version(model, event.data["version"])
    principal = User.objects.get(pk=event.data["requested_by"])
    if approvals.find_policy(model, alias) is None:
        approvals.set_alias(model, alias, version, principal=principal)
        return
    reason = f"Training run {event.data['run_id']} succeeded."
    approvals.request_alias(model, alias, version, reason=reason, principal=principal)


@subscriber
def on_deleted(event: Event) -> None:
    """Close the open requests for a version that was deleted, alone or with its model."""
    of_it = Q(version_id=event.subject_id) | Q(model_id=event.subject_id)
    gone = Q(version__status=VersionStatus.DELETED, status__in=OPEN)
    for approval in ApprovalRequest.objects.filter(of_it & gone):
        settle(approval)


@subscriber
def ask_reviewers(event: Event) -> None:
    """Write the notices to everybody who may decide on the request."""
    notices.ask_reviewers(event)


@subscriber
def tell_requester(event: Event) -> None:
    """Write the notice of how it ended to who asked."""
    notices.tell_requester(event)


def expire_due() -> None:
    """Expire the open requests whose time is over (a keeper's sweep)."""
    due = ApprovalRequest.objects.filter(
        status__in=OPEN, expires_at__lte=timezone.now()
    )
    for approval in due.order_by("expires_at")[:_BATCH]:
        settle(approval)
