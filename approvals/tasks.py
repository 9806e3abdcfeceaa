"""What happens to requests by themselves."""

from __future__ import annotations

import logging

from django.db.models import Q
from django.utils import timezone

from access.models import User
from approvals import notices
from approvals import services as approvals
from approvals.due import claim
from approvals.lifecycle import settle
from approvals.models import OPEN, ApprovalRequest, Policy, RequestStatus
from approvals.policies import requests_under
from approvals.services.due import apply_waiting, hold_to_policies
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
    _settle(Q(version__status=VersionStatus.DELETED) & _of_model_or_version(event))


@subscriber
def on_tampered(event: Event) -> None:
    """Close the open requests for a version whose bytes were changed."""
    _settle(_of_model_or_version(event))


@subscriber
def on_requester_changed(event: Event) -> None:
    """Close the open requests of who was switched off or owns the model no more.

    An owner may be a group, and a service principal is its person, so whose right
    an event took away is left to `settle`: it looks at every open request.
    """
    _settle(Q())


def _of_model_or_version(event: Event) -> Q:
    return Q(version_id=event.subject_id) | Q(model_id=event.subject_id)


def _settle(which: Q) -> None:
    for approval in ApprovalRequest.objects.filter(which, status__in=OPEN):
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


@subscriber
def on_policy_created(event: Event) -> None:
    """Hold the open requests that a new policy is about to it."""
    policy = Policy.objects.get(pk=event.subject_id)
    for approval in requests_under(policy):
        hold_to_policies(approval)


def apply_due() -> None:
    """Apply the requests that only had to wait (a keeper's sweep).

    Several keepers are harmless: one claims, and the lock on the request lets one
    apply it. Whoever dies in between leaves it to be looked at a minute later.
    """
    due = ApprovalRequest.objects.filter(
        status=RequestStatus.PENDING, look_again_at__lte=timezone.now()
    )
    for approval in due.order_by("look_again_at")[:_BATCH]:
        if not claim(approval):
            continue
        try:
            apply_waiting(approval)
        except DomainError as error:
            logger.warning(
                "request not applied",
                extra={"request_id": str(approval.id), "reason": error.message},
            )
