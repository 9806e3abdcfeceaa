"""Subscribe, fan an event out, send, record, retry, and send again."""

from __future__ import annotations

from webhooks.services.attempts import Outcome, attempt, pause_after, send
from webhooks.services.deliveries import (
    claim,
    due_webhooks,
    fan_out,
    fan_out_waiting,
    get_delivery,
    redeliver,
    redeliver_failed,
    visible_deliveries,
)
from webhooks.services.secrets import (
    encrypt_again,
    erase_old_secrets,
    expire_secret,
    rotate_secret,
)
from webhooks.services.subscriptions import (
    create_webhook,
    delete_webhook,
    disable_webhook,
    enable_webhook,
    get_webhook,
    ping_webhook,
    update_webhook,
)

__all__ = [
    "Outcome",
    "attempt",
    "claim",
    "create_webhook",
    "delete_webhook",
    "disable_webhook",
    "due_webhooks",
    "enable_webhook",
    "encrypt_again",
    "erase_old_secrets",
    "expire_secret",
    "fan_out",
    "fan_out_waiting",
    "get_delivery",
    "get_webhook",
    "pause_after",
    "ping_webhook",
    "redeliver",
    "redeliver_failed",
    "rotate_secret",
    "send",
    "update_webhook",
    "visible_deliveries",
]
