"""Ring for tasks by name; a broker that is down costs time, never an event."""

from __future__ import annotations

import logging

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def nudge_relay() -> None:
    """Ring for the relay after a commit; the keeper's sweep finds a lost ring."""
    ring("events.tasks.relay")


def ring(task: str, *args: str) -> bool:
    """Send a task by name, and tell whether the broker took it."""
    try:
        current_app.send_task(task, args=args, retry=False)
    except OperationalError:
        logger.warning("broker unavailable", extra={"task": task})
        return False
    return True
