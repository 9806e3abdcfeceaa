"""Subscribe, fan an event out, send, record, retry, and send again."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import Coalesce, RowNumber
from django.utils import timezone

from access.models import User
from core import outbound
from core.errors import Conflict, DomainError, NotFound
from core.states import transition
from events.models import Event
from events.services import emit
from events.types import EventType
from webhooks import payload, scopes, signing
from webhooks.models import (
    Attempt,
    Delivery,
    DeliveryStatus,
    ScopeType,
    Webhook,
    WebhookStatus,
)

# The pauses after the first failure, the second, and so on; then it is given up.
RETRY_AFTER = [
    dt.timedelta(seconds=5),
    dt.timedelta(seconds=30),
    dt.timedelta(minutes=2),
    dt.timedelta(minutes=10),
    dt.timedelta(minutes=30),
    dt.timedelta(hours=2),
    dt.timedelta(hours=6),
    dt.timedelta(hours=12),
    dt.timedelta(hours=24),
]
GIVE_UP_AFTER = dt.timedelta(days=5)
# How many requests one receiver gets at a time, and one that does not answer.
MAX_IN_FLIGHT = 4
MAX_IN_FLIGHT_FAILING = 1
# How much longer than the request its sender holds the row.
_LEASE_MARGIN = dt.timedelta(seconds=45)
_GONE = 410


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended."""

    status_code: int | None = None
    error: str = ""
    response_head: str = ""
    elapsed_seconds: float = 0.0
    # never sent: what the creator may not see is not for the receiver either
    is_withheld: bool = False

    @property
    def is_success(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


# --- subscriptions ------------------------------------------------------------


@transaction.atomic
def create_webhook(
    url: str,
    event_types: list[str],
    *,
    scope_type: str = ScopeType.INSTALLATION,
    scope: str = "",
    description: str = "",
    principal: User,
) -> Webhook:
    """Subscribe a URL to the events of some types below a scope.

    The signing secret is `secret_text` of the row returned, and shown only now.
    """
    scopes.require_scope(principal, scope_type, scope)
    scopes.check_event_types(event_types)
    outbound.check_url(url)
    secret = signing.new_secret()
    webhook = Webhook.objects.create(
        url=url,
        event_types=event_types,
        scope_type=scope_type,
        scope=scope,
        description=description,
        encrypted_secret=signing.encrypt(secret),
        created_by=principal,
    )
    webhook.secret_text = secret
    emit(
        EventType.WEBHOOK_CREATED,
        webhook,
        principal=principal,
        scope_type=scope_type,
        scope=scope,
        event_types=event_types,
    )
    return webhook


@transaction.atomic
def disable_webhook(webhook: Webhook, *, principal: User) -> None:
    """Stop a webhook for good; its log stays, and what is pending is not sent."""
    scopes.require_manager(principal, webhook)
    _disable(webhook, f"Stopped by {principal.username}.", principal=principal)


def _disable(webhook: Webhook, message: str, *, principal: User | None) -> None:
    transition(webhook, WebhookStatus.DISABLED, status_message=message)
    emit(EventType.WEBHOOK_DISABLED, webhook, principal=principal, reason=message)


def get_webhook(webhook_id: UUID, *, principal: User) -> Webhook:
    """Return a webhook that the principal manages. Raises NotFound."""
    found = scopes.managed(principal).filter(pk=webhook_id).first()
    if found is None:
        raise NotFound(f"No webhook {webhook_id} that you may see.")
    return found


def get_delivery(delivery_id: UUID, *, principal: User) -> Delivery:
    """Return a delivery of a webhook that the principal manages. Raises NotFound."""
    rows = Delivery.objects.select_related("webhook", "event")
    found = rows.filter(pk=delivery_id, webhook__in=scopes.managed(principal)).first()
    if found is None:
        raise NotFound(f"No delivery {delivery_id} that you may see.")
    return found


# --- what is owed -------------------------------------------------------------


def fan_out(event: Event) -> list[Delivery]:
    """Write down to whom an event is owed; twice is once."""
    active = Webhook.objects.filter(
        status=WebhookStatus.ACTIVE, created_at__lte=event.created_at
    )
    Delivery.objects.bulk_create(
        [
            Delivery(webhook=webhook, event=event)
            for webhook in active
            if scopes.wants(webhook, event)
        ],
        ignore_conflicts=True,
    )
    return list(Delivery.objects.filter(event=event, status=DeliveryStatus.PENDING))


def due_deliveries(limit: int) -> QuerySet[Delivery, UUID]:
    """Return the ids of what could be sent now, each webhook getting its turn."""
    turn = Window(
        RowNumber(), partition_by=F("webhook"), order_by=F("next_attempt_at").asc()
    )
    due = _sendable().annotate(turn=turn)
    fair = due.filter(turn__lte=MAX_IN_FLIGHT).order_by("turn", "next_attempt_at")
    return fair.values_list("pk", flat=True)[:limit]


def claim(delivery_id: UUID) -> Delivery | None:
    """Take a due delivery for the caller alone, for as long as a lease lasts.

    None when it is not due, another has it, or its receiver is busy enough.
    """
    rows = _sendable().filter(pk=delivery_id)
    delivery = rows.select_related("webhook").first()
    if delivery is None or _is_busy(delivery.webhook):
        return None
    lease = dt.timedelta(seconds=settings.WEBHOOK_TIMEOUT_SECONDS) + _LEASE_MARGIN
    # Only columns of the row itself: PostgreSQL asks those again after a wait for the
    # row, but not a subquery, which is what a condition on the webhook would become.
    taken = Delivery.objects.filter(_due(), pk=delivery_id).update(
        lease_until=timezone.now() + lease, attempts_begun=F("attempts_begun") + 1
    )
    if not taken:
        return None
    rows = Delivery.objects.select_related("webhook__created_by", "event")
    return rows.get(pk=delivery_id)


def claim_next(webhook_id: UUID) -> Delivery | None:
    """Take the delivery of a webhook that has been due for longest, if any."""
    due = _sendable().filter(webhook=webhook_id)
    first = due.order_by("next_attempt_at").values_list("pk", flat=True).first()
    return claim(first) if first else None


def _due() -> Q:
    now = timezone.now()
    return Q(
        Q(lease_until=None) | Q(lease_until__lt=now),
        status=DeliveryStatus.PENDING,
        next_attempt_at__lte=now,
    )


def _sendable() -> QuerySet[Delivery]:
    return Delivery.objects.filter(_due(), webhook__status=WebhookStatus.ACTIVE)


def _is_busy(webhook: Webhook) -> bool:
    in_flight = webhook.deliveries.filter(
        status=DeliveryStatus.PENDING, lease_until__gte=timezone.now()
    ).count()
    limit = MAX_IN_FLIGHT_FAILING if webhook.failing_since else MAX_IN_FLIGHT
    return in_flight >= limit


# --- sending ------------------------------------------------------------------


def attempt(delivery: Delivery) -> Attempt | None:
    """Send a delivery once if it is due and free, and record what came of it."""
    claimed = claim(delivery.pk)
    return send(claimed) if claimed else None


def send(delivery: Delivery) -> Attempt:
    """POST a claimed delivery, outside any transaction, and record the outcome."""
    if not scopes.may_see(delivery.webhook.created_by, delivery.event):
        text = "The webhook's creator may not see what the event is about."
        return _record(delivery, Outcome(error=text, is_withheld=True))
    try:
        outcome = _post(delivery)
    except DomainError as error:
        outcome = Outcome(error=error.message)
    return _record(delivery, outcome)


def _post(delivery: Delivery) -> Outcome:
    body = payload.body_of(delivery)
    secret = signing.decrypt(delivery.webhook.encrypted_secret)
    timestamp = int(timezone.now().timestamp())
    headers = {
        "content-type": "application/json",
        "user-agent": "Greenlight-Webhooks/1",
        "webhook-attempt": str(delivery.attempts_begun),
        **signing.sign(secret, delivery.event_id, timestamp, body),
    }
    answer = outbound.post(
        delivery.webhook.url, body, headers, timeout=settings.WEBHOOK_TIMEOUT_SECONDS
    )
    head = answer.body_head.decode(errors="replace").replace("\x00", "\ufffd")
    return Outcome(answer.status, "", head, answer.elapsed_seconds)


@transaction.atomic
def _record(delivery: Delivery, outcome: Outcome) -> Attempt:
    """Write the attempt down and move the delivery.

    An outcome that comes after the lease is kept, but moves only what still waits.
    """
    attempt = Attempt.objects.create(
        delivery=delivery,
        number=delivery.attempts_begun,
        status_code=outcome.status_code,
        error=outcome.error,
        response_head=outcome.response_head,
        elapsed_seconds=outcome.elapsed_seconds,
    )
    rows = Delivery.objects.select_for_update(of=("self",)).select_related("webhook")
    row = rows.get(pk=delivery.pk)
    if row.status != DeliveryStatus.PENDING:
        return attempt
    if outcome.is_success:
        _succeed(row)
    elif outcome.is_withheld:
        transition(row, DeliveryStatus.FAILED, lease_until=None)
    else:
        _fail(row)
        _judge(row.webhook_id, outcome)
    return attempt


def _succeed(delivery: Delivery) -> None:
    transition(delivery, DeliveryStatus.DELIVERED, lease_until=None)
    failing = Webhook.objects.filter(pk=delivery.webhook_id)
    failing.exclude(failing_since=None).update(failing_since=None)


def _fail(delivery: Delivery) -> None:
    """Wait for the next attempt, or give up after the last."""
    if delivery.failures >= len(RETRY_AFTER):
        transition(delivery, DeliveryStatus.FAILED, lease_until=None)
        return
    Delivery.objects.filter(pk=delivery.pk).update(
        failures=F("failures") + 1,
        next_attempt_at=timezone.now() + pause_after(delivery.failures),
        lease_until=None,
    )


def _judge(webhook_id: UUID, outcome: Outcome) -> None:
    """Remember since when a receiver fails, and disable one that is gone."""
    now = timezone.now()
    rows = Webhook.objects.select_for_update().filter(pk=webhook_id)
    rows.update(failing_since=Coalesce("failing_since", now))
    webhook = rows.get()
    if webhook.status != WebhookStatus.ACTIVE:
        return
    if outcome.status_code == _GONE:
        _disable(webhook, "The receiver answered 410 Gone.", principal=None)
    elif webhook.failing_since and webhook.failing_since < now - GIVE_UP_AFTER:
        _disable(webhook, "Nothing got through for 5 days.", principal=None)


def pause_after(failures: int) -> dt.timedelta:
    """Return how long to wait after so many failures before, spread by a fifth."""
    return RETRY_AFTER[failures] * secrets.SystemRandom().uniform(0.8, 1.2)


@transaction.atomic
def redeliver(delivery: Delivery, *, principal: User) -> Delivery:
    """Send the same event again, under the same id, with a fresh row of retries."""
    scopes.require_manager(principal, delivery.webhook)
    if delivery.webhook.status != WebhookStatus.ACTIVE:
        raise Conflict("The webhook is disabled; create a new one.")
    now = timezone.now()
    if delivery.status == DeliveryStatus.PENDING:
        waiting = Delivery.objects.filter(pk=delivery.pk, status=DeliveryStatus.PENDING)
        waiting.update(next_attempt_at=now, failures=0)
        delivery.refresh_from_db()
        return delivery
    transition(delivery, DeliveryStatus.PENDING, next_attempt_at=now, failures=0)
    return delivery
