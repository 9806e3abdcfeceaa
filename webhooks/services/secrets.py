"""Secrets of webhooks: two at a time while one takes the place of the other."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from access.models import User
from core.errors import Conflict, InvalidParameter
from events.services import emit
from events.types import EventType
from webhooks import scopes, signing
from webhooks.models import Webhook
from webhooks.services.subscriptions import take_over

OVERLAP = dt.timedelta(hours=24)
LONGEST_OVERLAP = dt.timedelta(days=7)


@transaction.atomic
def rotate_secret(
    webhook: Webhook,
    *,
    overlap: dt.timedelta = OVERLAP,
    secret: str = "",
    principal: User,
) -> Webhook:
    """Give a webhook a new secret; the one before signs too, for as long as `overlap`.

    A still older one ends at once. The new one is `secret_text` of the row returned,
    and shown only now.
    """
    scopes.require_manager(principal, webhook)
    if not dt.timedelta(0) <= overlap <= LONGEST_OVERLAP:
        days = LONGEST_OVERLAP.days
        raise InvalidParameter(f"overlap_seconds must be from 0 to {days} days.")
    if secret:
        signing.check_secret(secret)
    secret = secret or signing.new_secret()
    until = timezone.now() + overlap if overlap else None
    row = Webhook.objects.select_for_update().get(pk=webhook.pk)
    if not row.encrypted_secret:
        raise Conflict("The webhook was deleted meanwhile.")
    changes = {
        "encrypted_secret": signing.encrypt(secret),
        "encrypted_old_secret": row.encrypted_secret if until else "",
        "old_secret_until": until,
        # who learns the secret must be who may see what it signs
        **take_over(row, principal=principal),
    }
    Webhook.objects.filter(pk=row.pk).update(**changes)
    webhook.refresh_from_db()
    webhook.secret_text = secret
    emit(
        EventType.WEBHOOK_SECRET_ROTATED,
        webhook,
        principal=principal,
        old_secret_until=until,
    )
    return webhook


@transaction.atomic
def expire_secret(webhook: Webhook, *, principal: User) -> None:
    """Let the secret before end at once. Raises Conflict when there is none."""
    scopes.require_manager(principal, webhook)
    living = Webhook.objects.filter(pk=webhook.pk, old_secret_until__gt=timezone.now())
    if not living.update(encrypted_old_secret="", old_secret_until=None):
        raise Conflict("The webhook has no old secret that still signs.")
    webhook.refresh_from_db()
    emit(EventType.WEBHOOK_SECRET_EXPIRED, webhook, principal=principal)


def erase_old_secrets() -> int:
    """Erase the secrets whose time is over; they sign nothing any more."""
    over = Webhook.objects.filter(old_secret_until__lte=timezone.now())
    return over.update(encrypted_old_secret="", old_secret_until=None)


def encrypt_again() -> int:
    """Encrypt every secret with the first key of the ring; return how many webhooks.

    After it, the other keys may leave the ring.
    """
    rows = Webhook.objects.exclude(encrypted_secret="")
    return sum(_encrypt_again(pk) for pk in rows.values_list("pk", flat=True))


@transaction.atomic
def _encrypt_again(pk: UUID) -> bool:
    row = Webhook.objects.select_for_update().get(pk=pk)
    old = row.encrypted_old_secret
    Webhook.objects.filter(pk=pk).update(
        encrypted_secret=signing.encrypt_again(row.encrypted_secret),
        encrypted_old_secret=signing.encrypt_again(old) if old else "",
    )
    return True
