"""Who is told what, and where: subscribe, change, stop, begin again, try."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from access.models import User
from core import outbound
from core.errors import Conflict, InvalidParameter, NotFound
from core.states import transition
from events.services import emit
from events.types import EventType
from webhooks import scopes, signing
from webhooks.models import (
    Delivery,
    DeliveryStatus,
    Format,
    ScopeType,
    Webhook,
    WebhookStatus,
)

MAX_IN_FLIGHT = 32
_UNHURT = {"failing_since": None, "failures_in_a_row": 0, "paused_until": None}
_CHANGEABLE = ("url", "event_types", "description", "is_ordered", "max_in_flight")
# what makes a webhook another one's: where it goes, and what it tells
_TAKES_OVER = {"url", "event_types"}


@transaction.atomic
def create_webhook(
    url: str,
    event_types: list[str],
    *,
    scope_type: str = ScopeType.INSTALLATION,
    scope: str = "",
    description: str = "",
    body_format: str = Format.STANDARD,
    is_ordered: bool = False,
    max_in_flight: int = 4,
    secret: str = "",
    principal: User,
) -> Webhook:
    """Subscribe a URL to the events of some types below a scope.

    The signing secret is `secret_text` of the row returned, and shown only now; a
    secret of one's own serves a receiver that has one already.
    """
    scopes.require_scope(principal, scope_type, scope)
    scopes.check_event_types(event_types, body_format)
    outbound.check_url(url)
    _check_in_flight(max_in_flight)
    if secret:
        signing.check_secret(secret)
    secret = secret or signing.new_secret()
    webhook = Webhook.objects.create(
        url=url,
        event_types=event_types,
        scope_type=scope_type,
        scope=scope,
        description=description,
        format=body_format,
        is_ordered=is_ordered,
        max_in_flight=max_in_flight,
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
        format=body_format,
    )
    return webhook


@transaction.atomic
def update_webhook(
    webhook: Webhook, changes: dict[str, Any], *, principal: User
) -> Webhook:
    """Change where a webhook goes or what it tells; the next attempt knows.

    Who changes the address or the types without having created the webhook answers
    for it from then on: it sends what that person may see. An admin does not.
    """
    scopes.require_manager(principal, webhook)
    if unknown := changes.keys() - set(_CHANGEABLE):
        raise InvalidParameter(f"{min(unknown)} of a webhook cannot be changed.")
    changed = {k: v for k, v in changes.items() if getattr(webhook, k) != v}
    _check_changes(webhook, changed)
    if _TAKES_OVER & changed.keys():
        changed |= take_over(webhook, principal=principal)
    if not changed:
        return webhook
    rows = Webhook.objects.filter(pk=webhook.pk).exclude(status=WebhookStatus.DELETED)
    if not rows.update(**changed):
        raise Conflict("The webhook was deleted meanwhile.")
    webhook.refresh_from_db()
    emit(
        EventType.WEBHOOK_UPDATED,
        webhook,
        principal=principal,
        # not the address: paths of URLs often are secrets
        changed=sorted(changed),
        event_types=webhook.event_types,
    )
    return webhook


def take_over(webhook: Webhook, *, principal: User) -> dict[str, Any]:
    """Return the change of whose eyes a webhook sees with, if there is one.

    Raises PermissionDenied unless the principal manages the scope, now.
    """
    if principal.is_superuser:
        return {}
    scopes.require_scope(principal, webhook.scope_type, webhook.scope)
    if webhook.created_by_id == principal.pk:
        return {}
    return {"created_by": principal}


def _check_changes(webhook: Webhook, changed: dict[str, Any]) -> None:
    if "url" in changed:
        outbound.check_url(changed["url"])
    if "event_types" in changed:
        scopes.check_event_types(changed["event_types"], webhook.format)
    if "max_in_flight" in changed:
        _check_in_flight(changed["max_in_flight"])


def _check_in_flight(number: int) -> None:
    if not 1 <= number <= MAX_IN_FLIGHT:
        raise InvalidParameter(f"max_in_flight must be from 1 to {MAX_IN_FLIGHT}.")


@transaction.atomic
def disable_webhook(webhook: Webhook, *, principal: User) -> None:
    """Stop a webhook; what is pending waits, what happens now is not told later."""
    scopes.require_manager(principal, webhook)
    disable(webhook, f"Stopped by {principal.username}.", principal=principal)


def disable(webhook: Webhook, message: str, *, principal: User | None) -> None:
    """Stop a webhook, and say why; `principal` None is the system."""
    transition(webhook, WebhookStatus.DISABLED, status_message=message)
    emit(EventType.WEBHOOK_DISABLED, webhook, principal=principal, reason=message)


@transaction.atomic
def enable_webhook(webhook: Webhook, *, principal: User) -> None:
    """Let a webhook that was stopped go on, with what was pending and a clean slate."""
    scopes.require_manager(principal, webhook)
    transition(webhook, WebhookStatus.ACTIVE, status_message="", **_UNHURT)
    emit(EventType.WEBHOOK_ENABLED, webhook, principal=principal)


@transaction.atomic
def delete_webhook(webhook: Webhook, *, principal: User) -> None:
    """Delete a webhook with its secrets; its log stays in the audit alone."""
    scopes.require_manager(principal, webhook)
    transition(
        webhook,
        WebhookStatus.DELETED,
        status_message=f"Deleted by {principal.username}.",
        encrypted_secret="",
        encrypted_old_secret="",
        old_secret_until=None,
    )
    pending = Delivery.objects.filter(webhook=webhook, status=DeliveryStatus.PENDING)
    pending.update(status=DeliveryStatus.FAILED)
    emit(EventType.WEBHOOK_DELETED, webhook, principal=principal)


@transaction.atomic
def ping_webhook(webhook: Webhook, *, principal: User) -> Delivery:
    """Send a webhook an event of its own, at once, whatever else it waits for."""
    scopes.require_manager(principal, webhook)
    require_active(webhook)
    close_circuit(webhook)
    event = emit(EventType.WEBHOOK_PINGED, webhook, principal=principal)
    return Delivery.objects.create(
        webhook=webhook,
        event=event,
        subject_id=event.subject_id,
        sequence=event.sequence,
    )


def require_active(webhook: Webhook) -> None:
    """Let through only what is sent to. Raises Conflict."""
    if webhook.status != WebhookStatus.ACTIVE:
        raise Conflict(f"The webhook is {webhook.status}; enable it first.")


def close_circuit(webhook: Webhook) -> None:
    """Let the next request through at once; whoever asks by hand wants to see."""
    Webhook.objects.filter(pk=webhook.pk).update(paused_until=None)


def get_webhook(webhook_id: UUID, *, principal: User) -> Webhook:
    """Return a webhook that the principal manages. Raises NotFound."""
    rows = scopes.managed(principal).select_related("created_by")
    found = rows.filter(pk=webhook_id).first()
    if found is None:
        raise NotFound(f"No webhook {webhook_id} that you may see.")
    return found
