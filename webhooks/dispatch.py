"""Send from threads of our own, so that a slow receiver holds no task's place.

A *lane* is one thread that sends to one webhook for as long as something is due.
A webhook begins with one lane; it gets another one only while what it has is held
up, and never the second half of the threads. So one that never answers delays no
other one. How many lanes a webhook has in all workers, `services.claim` decides.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from uuid import UUID

from django.db import close_old_connections, connections

from webhooks import services

logger = logging.getLogger(__name__)

MAX_SENDERS = 32
# A lane that began its round so long ago is held up.
_HELD_UP_SECONDS = 0.1
# A thread without work keeps its connection to the database for so long.
_IDLE_SECONDS = 30.0
# After so many rounds a lane makes room for another webhook.
_MOST_ROUNDS = 50


class _Senders:
    """The threads of this process, and which webhook each of them works for."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting: deque[UUID] = deque()
        self.threads = 0
        self.idle = 0
        self.lanes: Counter[UUID] = Counter()
        # how often a webhook was woken, and when a lane of it last began a round
        self.rings: Counter[UUID] = Counter()
        self.begun_at: dict[UUID, float] = {}

    def wake(self, webhook_id: UUID) -> bool:
        """Ask for a lane; False when those that there are will do."""
        with self.changed:
            self.rings[webhook_id] += 1
            if not self._deserves_lane(webhook_id):
                return False
            self.lanes[webhook_id] += 1
            self.begun_at[webhook_id] = time.monotonic()
            self.waiting.append(webhook_id)
            if self.idle >= len(self.waiting) or self.threads >= MAX_SENDERS:
                self.changed.notify()
                return True
            self.threads += 1
        # A daemon: a worker that ends waits for no receiver; the lease runs out.
        threading.Thread(target=self._work, name="sender", daemon=True).start()
        return True

    def _deserves_lane(self, webhook_id: UUID) -> bool:
        if not self.lanes[webhook_id]:
            return True
        busy = self.threads - self.idle + len(self.waiting)
        held_up = time.monotonic() - self.begun_at[webhook_id] > _HELD_UP_SECONDS
        return held_up and busy < MAX_SENDERS // 2

    def _work(self) -> None:
        """Take lanes one after the other, and end after a while without."""
        try:
            while (webhook_id := self._next()) is not None:
                self._run(webhook_id)
        finally:
            connections.close_all()

    def _next(self) -> UUID | None:
        with self.changed:
            self.idle += 1
            self.changed.wait_for(lambda: self.waiting, _IDLE_SECONDS)
            self.idle -= 1
            if self.waiting:
                return self.waiting.popleft()
            self.threads -= 1
            return None

    def _run(self, webhook_id: UUID) -> None:
        """Send until nothing is due, or it is another webhook's turn."""
        close_old_connections()
        try:
            for _ in range(_MOST_ROUNDS):
                rings = self._begin_round(webhook_id)
                if claimed := services.claim(webhook_id):
                    services.send(claimed)
                elif self._ends(webhook_id, rings):
                    return
        except Exception:
            logger.exception("sender failed", extra={"webhook_id": str(webhook_id)})
            self._end_lane(webhook_id)
            return
        self._end_lane(webhook_id)
        self.wake(webhook_id)

    def _begin_round(self, webhook_id: UUID) -> int:
        with self.changed:
            self.begun_at[webhook_id] = time.monotonic()
            return self.rings[webhook_id]

    def _ends(self, webhook_id: UUID, rings: int) -> bool:
        """End a lane that found nothing, unless it was woken while it looked."""
        with self.changed:
            if self.rings[webhook_id] != rings:
                return False
            self._end_lane(webhook_id)
            return True

    def _end_lane(self, webhook_id: UUID) -> None:
        with self.changed:
            self.lanes[webhook_id] -= 1
            if not self.lanes[webhook_id]:
                del self.lanes[webhook_id], self.rings[webhook_id]
                del self.begun_at[webhook_id]
            self.changed.notify_all()


_senders = _Senders()


def wake(webhook_id: UUID) -> None:
    """Begin to send what is due to a webhook, and return at once."""
    _senders.wake(webhook_id)


def wait_until_idle(seconds: float) -> bool:
    """Wait until no lane runs in this process; tell whether that came."""
    with _senders.changed:
        return _senders.changed.wait_for(lambda: not _senders.lanes, seconds)
