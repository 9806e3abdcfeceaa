"""What is owed to whom, whose turn it is, and sending it again by hand."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from access.models import User
from core.errors import NotFound
from core.states import transition
from events.models import Event, OutboxEntry
from events.services import emit
from events.types import EventType
from webhooks import scopes
from webhooks.models import Delivery, DeliveryStatus, Webhook, WebhookStatus
from webhooks.services.subscriptions import close_circuit, require_active

FAN_OUT = "webhooks.tasks.fan_out"
# How many deliveries one sender takes at a time, and how many events one fan-out.
BATCH = 20
_EVENTS = 100
# How much longer than the request its sender holds the row.
_LEASE_MARGIN = dt.timedelta(seconds=45)


# --- who is owed what ---------------------------------------------------------


def fan_out(event: Event) -> list[Delivery]:
    """Write down to whom an event is owed; twice is once."""
    _owe([event])
    return list(Delivery.objects.filter(event=event, status=DeliveryStatus.PENDING))


@transaction.atomic
def fan_out_waiting() -> set[UUID] | None:
    """Fan out what waits, up to a hundred events in the order of the log.

    Returns the webhooks that are owed something, or None when nothing waited. The entries in the outbox are
    claimed in the same transaction, so that each event is fanned out exactly once.
    """
    waiting = OutboxEntry.objects.filter(task=FAN_OUT, handled_at=None)
    locked = waiting.select_for_update(skip_locked=True, of=("self",))
    entries = list(locked.select_related("event").order_by("event__sequence")[:_EVENTS])
    if not entries:
        return None
    owed = _owe([entry.event for entry in entries])
    claimed = OutboxEntry.objects.filter(pk__in=[entry.pk for entry in entries])
    claimed.update(handled_at=timezone.now())
    return owed


def _owe(events: Iterable[Event]) -> set[UUID]:
    webhooks = list(Webhook.objects.filter(status=WebhookStatus.ACTIVE))
    owed = [
        Delivery(
            webhook=webhook,
            event=event,
            subject_id=event.subject_id,
            sequence=event.sequence,
        )
        for event in events
        for webhook in webhooks
        if webhook.created_at <= event.created_at and scopes.wants(webhook, event)
    ]
    Delivery.objects.bulk_create(owed, ignore_conflicts=True)
    return {delivery.webhook_id for delivery in owed}


# --- whose turn it is ---------------------------------------------------------


def due_webhooks() -> list[UUID]:
    """Return the webhooks to which something could be sent now."""
    now = timezone.now()
    due = Delivery.objects.filter(_due(), webhook=OuterRef("pk"))
    called = Q(paused_until=None) | Q(paused_until__lte=now)
    rows = Webhook.objects.filter(called, Exists(due), status=WebhookStatus.ACTIVE)
    return list(rows.values_list("pk", flat=True))


@transaction.atomic
def claim(
    webhook_id: UUID, limit: int = BATCH, *, only: UUID | None = None
) -> list[Delivery]:
    """Take due deliveries of a webhook for the caller alone, while a lease lasts.

    None while the webhook is paused or has as many senders as it wants. A webhook
    that fails gets one request at a time. `only` is one delivery to take.
    """
    # The lock makes the count of senders true; no_key lets events be fanned out.
    rows = Webhook.objects.select_for_update(no_key=True, of=("self",))
    active = rows.select_related("created_by").filter(status=WebhookStatus.ACTIVE)
    webhook = active.filter(pk=webhook_id).first()
    if webhook is None or webhook.is_paused or not _has_room(webhook):
        return []
    due = _turns(webhook)
    if only is not None:
        due = due.filter(pk=only)
    due = due.select_for_update(skip_locked=True, of=("self",)).select_related("event")
    taken = list(due[: 1 if webhook.failing_since else limit])
    return _lease(webhook, taken)


def _due() -> Q:
    now = timezone.now()
    return Q(
        Q(lease_until=None) | Q(lease_until__lt=now),
        status=DeliveryStatus.PENDING,
        next_attempt_at__lte=now,
    )


def _turns(webhook: Webhook) -> QuerySet[Delivery]:
    """Return what could be sent to a webhook, what waits longest first.

    In order, an event waits for the earlier ones of its subject: for those that are
    pending, and for those that are not fanned out yet.
    """
    due = Delivery.objects.filter(_due(), webhook=webhook)
    if not webhook.is_ordered:
        return due.order_by("next_attempt_at")
    subject = OuterRef("subject_id")
    earlier = Delivery.objects.filter(
        webhook=webhook,
        status=DeliveryStatus.PENDING,
        subject_id=subject,
        sequence__lt=OuterRef("sequence"),
    )
    unknown = OutboxEntry.objects.filter(
        task=FAN_OUT,
        handled_at=None,
        event__subject_id=subject,
        event__sequence__lt=OuterRef("sequence"),
    )
    return due.filter(~Exists(earlier), ~Exists(unknown)).order_by("sequence")


def _has_room(webhook: Webhook) -> bool:
    leased = Delivery.objects.filter(webhook=webhook, lease_until__gte=timezone.now())
    senders = leased.values("lease_token").distinct().count()
    return senders < (1 if webhook.failing_since else webhook.max_in_flight)


def _lease(webhook: Webhook, deliveries: list[Delivery]) -> list[Delivery]:
    if not deliveries:
        return []
    token = uuid.uuid4()
    seconds = dt.timedelta(seconds=settings.WEBHOOK_TIMEOUT_SECONDS)
    until = timezone.now() + seconds + _LEASE_MARGIN
    rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries])
    rows.update(
        lease_until=until, lease_token=token, attempts_begun=F("attempts_begun") + 1
    )
    for delivery in deliveries:
        delivery.webhook = webhook
        delivery.lease_until, delivery.lease_token = until, token
        delivery.attempts_begun += 1
    return deliveries


def release(deliveries: list[Delivery]) -> None:
    """Give back what was claimed and not begun."""
    if not deliveries:
        return
    pks = [delivery.pk for delivery in deliveries]
    mine = Delivery.objects.filter(pk__in=pks, lease_token=deliveries[0].lease_token)
    mine.update(
        lease_until=None, lease_token=None, attempts_begun=F("attempts_begun") - 1
    )


# --- by hand ------------------------------------------------------------------


def visible_deliveries(*, principal: User) -> QuerySet[Delivery]:
    """Return the deliveries of the webhooks that a principal manages."""
    rows = Delivery.objects.select_related("webhook__created_by", "event")
    return rows.filter(webhook__in=scopes.managed(principal))


def get_delivery(delivery_id: UUID, *, principal: User) -> Delivery:
    """Return a delivery of a webhook that the principal manages. Raises NotFound."""
    found = visible_deliveries(principal=principal).filter(pk=delivery_id).first()
    if found is None:
        raise NotFound(f"No delivery {delivery_id} that you may see.")
    return found


@transaction.atomic
def redeliver(delivery: Delivery, *, principal: User) -> Delivery:
    """Send the same event again, under the same id, with a fresh row of retries."""
    scopes.require_manager(principal, delivery.webhook)
    require_active(delivery.webhook)
    now = timezone.now()
    if delivery.status == DeliveryStatus.PENDING:
        waiting = Delivery.objects.filter(pk=delivery.pk, status=DeliveryStatus.PENDING)
        waiting.update(next_attempt_at=now, failures=0)
        delivery.refresh_from_db(fields=["status", "next_attempt_at", "failures"])
    else:
        transition(delivery, DeliveryStatus.PENDING, next_attempt_at=now, failures=0)
    close_circuit(delivery.webhook)
    emit(
        EventType.WEBHOOK_REDELIVERED,
        delivery.webhook,
        principal=principal,
        delivery_id=delivery.pk,
        count=1,
    )
    return delivery


@transaction.atomic
def redeliver_failed(webhook: Webhook, since: dt.datetime, *, principal: User) -> int:
    """Send again all that was given up of what is owed since a moment; return how many."""
    scopes.require_manager(principal, webhook)
    require_active(webhook)
    failed = Delivery.objects.filter(
        webhook=webhook, status=DeliveryStatus.FAILED, created_at__gte=since
    )
    count = failed.update(
        status=DeliveryStatus.PENDING, next_attempt_at=timezone.now(), failures=0
    )
    if count:
        close_circuit(webhook)
        emit(
            EventType.WEBHOOK_REDELIVERED,
            webhook,
            principal=principal,
            since=since,
            count=count,
        )
    return count
