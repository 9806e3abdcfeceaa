"""The worker's settings, its broker, and the keeper."""

from __future__ import annotations

import itertools
import logging
import threading
import time
import uuid
from collections.abc import Callable

import pytest
from celery import current_app
from django.conf import settings
from django.utils.module_loading import import_string
from kombu import Connection

from greenlight import celery
from greenlight.subscriptions import SUBSCRIPTIONS


def test_the_configured_broker_carries_a_message() -> None:
    # fails when the broker is not there: this is how CI knows that it is
    with Connection(settings.BROKER_URL, connect_timeout=5) as connection:
        queue = connection.SimpleQueue(f"test-{uuid.uuid4().hex}")
        queue.put({"id": 1})
        message = queue.get(timeout=5)
        message.ack()
        queue.queue.delete()

    assert message.payload == {"id": 1}


def test_the_app_is_the_same_in_every_thread() -> None:
    seen = []
    thread = threading.Thread(target=lambda: seen.append(current_app.main))
    thread.start()
    thread.join()

    assert seen == ["greenlight"]


def test_workers_take_only_json() -> None:
    assert current_app.conf.accept_content == ["json"]
    assert celery.configuration()["broker_url"] == settings.BROKER_URL


def test_every_sweep_exists() -> None:
    assert all(callable(import_string(path)) for path, _ in celery.SWEEPS)


def test_every_subscriber_is_a_task() -> None:
    current_app.loader.import_default_modules()

    wanted = {task for tasks in SUBSCRIPTIONS.values() for task in tasks}

    assert wanted <= set(current_app.tasks)


def test_a_sweep_runs_until_the_worker_stops() -> None:
    stop = threading.Event()
    runs = []

    def sweep() -> None:
        runs.append(1)
        if len(runs) == 3:
            stop.set()

    _keep(sweep, 0.01, stop)

    assert len(runs) == 3


def test_a_failing_sweep_is_tried_again_ever_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop = threading.Event()
    times = []

    def sweep() -> None:
        times.append(time.monotonic())
        if len(times) == 5:
            stop.set()
        raise RuntimeError("not now")

    with caplog.at_level(logging.CRITICAL):
        _keep(sweep, 0.02, stop)

    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses[-1] > pauses[0] * 3


def _keep(sweep: Callable[[], None], interval: float, stop: threading.Event) -> None:
    thread = threading.Thread(target=celery.keep, args=(sweep, interval, stop))
    thread.start()
    thread.join(timeout=20)
    assert not thread.is_alive()
