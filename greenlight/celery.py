"""Celery: the app, the table of sweeps, and the keeper that runs them.

Messages carry only ids and may be lost, doubled or late: whatever a message was
for is a row, and a sweep finds it. So there is no result backend, no beat, and
no dependence on what a broker promises.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps
from django.conf import settings
from django.db import close_old_connections
from django.utils.module_loading import import_string

from greenlight import transport

logger = logging.getLogger(__name__)

# Dotted path of a function without arguments, and the seconds between its runs.
# Every worker runs all of them: they claim rows, so several keepers are harmless.
SWEEPS: list[tuple[str, float]] = [
    ("events.tasks.relay", 0.3),
    ("events.tasks.seal", 1.0),
    ("events.tasks.checkpoint", 5.0),
    ("events.refusals.tell_repeats", 10.0),
    ("events.sinks.ship_due", 1.0),
    ("access.tasks.expire_grants", 5.0),
    ("registry.tasks.finish_pending", 5.0),
    ("approvals.tasks.expire_due", 5.0),
    ("approvals.tasks.apply_due", 2.0),
    ("approvals.limits.forget", 600.0),
    ("approvals.notices.remind", 30.0),
    ("approvals.mail.send_due", 2.0),
    ("webhooks.tasks.send_due", 0.5),
    ("webhooks.tasks.erase_old_secrets", 60.0),
    ("runners.keeper.move_runs", 0.2),
]
_LONGEST_PAUSE_SECONDS = 30.0


def configuration() -> dict[str, Any]:
    """Return Celery's settings; read when the app is first used."""
    return {
        "broker_url": settings.BROKER_URL,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 2,
        "broker_transport_options": _transport_options(settings.BROKER_URL),
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # two installations on one broker must not take each other's messages
        "task_default_queue": os.environ.get("GREENLIGHT_QUEUE", "greenlight"),
        "worker_prefetch_multiplier": 1,
        "worker_pool": "threads",
        "worker_concurrency": 4,
        # The SQLite broker has no fan-out, and nothing needs remote control.
        "worker_enable_remote_control": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def _transport_options(broker_url: str) -> dict[str, Any]:
    """A broker that is away must not hold up a request: ring again at once, or not."""
    options = {"max_retries": 1, "interval_start": 0}
    if broker_url.startswith("redis"):
        return {**options, "socket_connect_timeout": 2, "socket_timeout": 3}
    return options


class Keeper(bootsteps.StartStopStep):
    """Run every sweep in a thread of its own for as long as the worker lives.

    One thread each, so that a slow sweep delays no other one.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **_options: Any) -> None:
        self.stopping = threading.Event()

    def start(self, worker: Any) -> None:
        for path, interval in SWEEPS:
            threading.Thread(
                target=keep,
                args=(import_string(path), interval, self.stopping),
                name=f"keeper {path}",
                daemon=True,
            ).start()

    def stop(self, worker: Any) -> None:
        self.stopping.set()


def keep(sweep: Callable[[], object], interval: float, stop: threading.Event) -> None:
    """Call a sweep every `interval` seconds until told to stop.

    A sweep that fails is tried again after twice the last pause, up to 30 s.
    """
    pause = interval
    while not stop.wait(pause):
        close_old_connections()
        try:
            sweep()
        except Exception:
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            logger.exception("sweep failed", extra={"sweep": str(sweep)})
        else:
            pause = interval


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "greenlight.settings")
transport.register()
app = Celery("greenlight")
app.set_default()  # in every thread, not only in the one that imports this
app.add_defaults(configuration)
app.autodiscover_tasks()
app.steps["worker"].add(Keeper)
