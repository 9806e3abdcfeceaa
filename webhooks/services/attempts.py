"""POST what was claimed, record what came of it, and draw the consequences."""

from __future__ import annotations

import datetime as dt
import logging
import secrets
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from core import outbound
from core.errors import DomainError
from webhooks import payload, scopes, signing
from webhooks.models import (
    OPENS_AFTER,
    Attempt,
    Circuit,
    Delivery,
    DeliveryStatus,
    Format,
    Webhook,
    WebhookStatus,
)
from webhooks.services.deliveries import claim, release
from webhooks.services.subscriptions import disable

logger = logging.getLogger(__name__)

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
# The longest pause that a receiver may ask for with Retry-After.
LONGEST_RETRY_AFTER = dt.timedelta(hours=24)
# An open circuit lets a request through after the first, and doubles it to the last.
FIRST_PAUSE, LAST_PAUSE = dt.timedelta(seconds=30), dt.timedelta(minutes=10)
# After so long, a sender records what it has sent, and gives back the rest.
_BATCH_SECONDS = 0.5
_GONE = 410
_random = secrets.SystemRandom()


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended."""

    status_code: int | None = None
    error: str = ""
    response_head: str = ""
    elapsed_seconds: float = 0.0
    request_headers: dict[str, str] = field(default_factory=dict)
    # what the receiver asked for
    retry_after: dt.timedelta | None = None
    # never sent: what the creator may not see is not for the receiver either
    is_withheld: bool = False

    @property
    def is_success(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


def attempt(delivery: Delivery) -> Attempt | None:
    """Send a delivery once if it is due and free, and record what came of it."""
    claimed = claim(delivery.webhook_id, 1, only=delivery.pk)
    return send(claimed)[-1] if claimed else None


def send(deliveries: list[Delivery]) -> list[Attempt]:
    """POST what was claimed together, outside any transaction, and record it.

    One connection serves all. A failure or half a second ends the round, and what
    was not begun is given back.
    """
    begun = time.monotonic()
    done: list[tuple[Delivery, Outcome]] = []
    with outbound.Session(settings.WEBHOOK_TIMEOUT_SECONDS) as session:
        for delivery in deliveries:
            outcome = _try(delivery, session)
            done.append((delivery, outcome))
            is_late = time.monotonic() - begun > _BATCH_SECONDS
            if is_late or not (outcome.is_success or outcome.is_withheld):
                break
    attempts = _record(done)
    release(deliveries[len(done) :])
    return attempts


def _try(delivery: Delivery, session: outbound.Session) -> Outcome:
    try:
        return _post(delivery, session)
    except Exception:
        # one message that cannot be built must not hold up those behind it
        logger.exception("delivery failed", extra={"delivery_id": str(delivery.pk)})
        return Outcome(error="The message could not be built; see the worker's log.")


def _post(delivery: Delivery, session: outbound.Session) -> Outcome:
    if not scopes.may_see(delivery.webhook.created_by, delivery.event):
        text = "The webhook's creator may not see what the event is about."
        return Outcome(error=text, is_withheld=True)
    body = payload.body_of(delivery)
    headers = _headers(delivery, body)
    told = signing.without_signatures(headers)
    begun = time.monotonic()
    try:
        answer = session.post(delivery.webhook.url, body, headers)
    except DomainError as error:
        took = time.monotonic() - begun
        return Outcome(error=error.message, elapsed_seconds=took, request_headers=told)
    head = answer.body_head.decode(errors="replace").replace("\x00", "\ufffd")
    return Outcome(
        answer.status,
        "",
        head,
        answer.elapsed_seconds,
        told,
        retry_after_of(answer.headers.get("retry-after", "")),
    )


def _headers(delivery: Delivery, body: bytes) -> dict[str, str]:
    webhook = delivery.webhook
    message_id, timestamp = str(delivery.event_id), int(timezone.now().timestamp())
    known = [webhook.encrypted_secret]
    if webhook.has_old_secret:
        known.append(webhook.encrypted_old_secret)
    texts = [signing.decrypt(encrypted) for encrypted in known]
    headers = {
        "content-type": payload.CONTENT_TYPES[Format(webhook.format)],
        "user-agent": "Greenlight-Webhooks/1",
        "webhook-attempt": str(delivery.attempts_begun),
        **signing.sign(texts, message_id, timestamp, body),
    }
    if webhook.format == Format.MLFLOW:
        # there is room for one signature: the old secret's, for as long as it lives
        headers |= signing.sign_for_mlflow(texts[-1], message_id, timestamp, body)
    return headers


def retry_after_of(text: str) -> dt.timedelta | None:
    """Read a Retry-After of seconds or of a date; nonsense is nothing."""
    if text.isascii() and text.isdigit():
        seconds = min(int(text[:9]), int(LONGEST_RETRY_AFTER.total_seconds()))
        return dt.timedelta(seconds=seconds)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    return max(dt.timedelta(0), min(at - timezone.now(), LONGEST_RETRY_AFTER))


# --- what follows -------------------------------------------------------------


@transaction.atomic
def _record(done: list[tuple[Delivery, Outcome]]) -> list[Attempt]:
    """Write the attempts down and move the deliveries.

    An outcome that comes after the lease is kept, but moves only what still waits.
    """
    attempts = Attempt.objects.bulk_create(
        Attempt(
            delivery=delivery,
            number=delivery.attempts_begun,
            status_code=outcome.status_code,
            error=outcome.error,
            request_headers=outcome.request_headers,
            response_head=outcome.response_head,
            elapsed_seconds=outcome.elapsed_seconds,
        )
        for delivery, outcome in done
    )
    succeeded = [delivery for delivery, outcome in done if outcome.is_success]
    if succeeded:
        _succeed(succeeded)
    for delivery, outcome in done:
        if outcome.is_withheld:
            _mine(delivery).update(status=DeliveryStatus.FAILED, lease_until=None)
        elif not outcome.is_success and _fail(delivery, outcome):
            _judge(delivery.webhook_id, outcome)
    return attempts


def _succeed(deliveries: list[Delivery]) -> None:
    pks = [delivery.pk for delivery in deliveries]
    waiting = Delivery.objects.filter(pk__in=pks, status=DeliveryStatus.PENDING)
    waiting.update(status=DeliveryStatus.DELIVERED, lease_until=None, lease_token=None)
    failing = Webhook.objects.filter(pk=deliveries[0].webhook_id)
    failing.exclude(failing_since=None).update(
        failing_since=None, failures_in_a_row=0, paused_until=None
    )


def _mine(delivery: Delivery) -> QuerySet[Delivery]:
    return Delivery.objects.filter(
        pk=delivery.pk,
        status=DeliveryStatus.PENDING,
        lease_token=delivery.lease_token,
    )


def _fail(delivery: Delivery, outcome: Outcome) -> bool:
    """Wait for the next attempt, or give up after the last; False if it came late.

    While the circuit is open a failure is the receiver's, not the event's: it is put
    off and never given up, so that a receiver that comes back gets everything.
    """
    mine = _mine(delivery)
    is_probe = delivery.webhook.circuit != Circuit.CLOSED
    if delivery.failures >= len(RETRY_AFTER) and not is_probe:
        return bool(mine.update(status=DeliveryStatus.FAILED, lease_until=None))
    last = len(RETRY_AFTER) - 1
    pause = pause_after(min(delivery.failures, last))
    return bool(
        mine.update(
            failures=F("failures") + (0 if is_probe else 1),
            next_attempt_at=timezone.now()
            + max(pause, outcome.retry_after or dt.timedelta(0)),
            lease_until=None,
            lease_token=None,
        )
    )


def _judge(webhook_id: UUID, outcome: Outcome) -> None:
    """Remember that a receiver fails; pause it, and disable one that is gone."""
    webhook = Webhook.objects.select_for_update(no_key=True).get(pk=webhook_id)
    if webhook.status != WebhookStatus.ACTIVE:
        return
    now = timezone.now()
    failing_since = webhook.failing_since or now
    failures = webhook.failures_in_a_row + 1
    pause = max(circuit_pause(failures), outcome.retry_after or dt.timedelta(0))
    Webhook.objects.filter(pk=webhook_id).update(
        failing_since=failing_since,
        failures_in_a_row=failures,
        paused_until=now + pause if pause else None,
    )
    if outcome.status_code == _GONE:
        disable(webhook, "The receiver answered 410 Gone.", principal=None)
    elif failing_since < now - GIVE_UP_AFTER:
        disable(webhook, "Nothing got through for 5 days.", principal=None)


def pause_after(failures: int) -> dt.timedelta:
    """Return how long to wait after so many failures before, spread by a fifth."""
    return RETRY_AFTER[failures] * _random.uniform(0.8, 1.2)


def circuit_pause(failures: int) -> dt.timedelta:
    """Return for how long the circuit opens after so many failures in a row."""
    if failures < OPENS_AFTER:
        return dt.timedelta(0)
    doublings: int = min(failures - OPENS_AFTER, 10)
    pause = min(FIRST_PAUSE * (1 << doublings), LAST_PAUSE)
    return pause * _random.uniform(0.8, 1.2)
