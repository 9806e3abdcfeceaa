"""Send from threads of our own, so that a slow receiver holds no task's place.

At most `MAX_SENDERS` requests run in a process, and a receiver gets at most
`services.MAX_IN_FLIGHT` of them: one that never answers delays no other one.
"""

from __future__ import annotations

import logging
import threading
from uuid import UUID

from django.db import connections

from webhooks import services
from webhooks.models import Delivery

logger = logging.getLogger(__name__)

MAX_SENDERS = 32
# After so many in a row a thread makes room for another receiver.
_MOST_IN_A_ROW = 50
_free = threading.BoundedSemaphore(MAX_SENDERS)


def start(delivery_id: UUID) -> threading.Thread | None:
    """Begin to send a due delivery, and return at once.

    None when every sender is busy or the delivery is not to be sent now; the sweep
    comes back to it.
    """
    if not _free.acquire(blocking=False):
        return None
    try:
        delivery = services.claim(delivery_id)
        if delivery is None:
            _free.release()
            return None
    except BaseException:
        _free.release()
        raise
    # A daemon: a worker that ends waits for no receiver; the lease runs out.
    thread = threading.Thread(
        target=_work, args=(delivery,), name=f"sender {delivery_id}", daemon=True
    )
    thread.start()
    return thread


def _work(delivery: Delivery) -> None:
    """Send a delivery, and go on with what else its receiver is owed."""
    current: Delivery | None = delivery
    try:
        for _ in range(_MOST_IN_A_ROW):
            if current is None:
                break
            services.send(current)
            current = services.claim_next(current.webhook_id)
    except Exception:
        logger.exception("sender failed", extra={"delivery_id": str(delivery.pk)})
    finally:
        connections.close_all()
        _free.release()
