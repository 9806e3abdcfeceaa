"""A log is read by many, so it holds no credential."""

from __future__ import annotations

import logging

import pytest
from django.conf import settings
from django.test import Client

from greenlight.logs import HideCallbacks


def test_refused_callback_is_logged_without_its_token(
    db: None, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    token = "glcb_" + "x-_9" * 10
    caplog.handler.addFilter(HideCallbacks())
    client.post(f"/api/v1/callbacks/{token}", {}, "application/json")
    assert "/api/v1/callbacks/glcb_…" in caplog.text
    assert token not in caplog.text


def test_every_handler_hides_them() -> None:
    handlers = settings.LOGGING["handlers"].values()
    assert all("callbacks" in handler["filters"] for handler in handlers)


def test_other_records_stay_as_they_are() -> None:
    record = logging.makeLogRecord({"msg": "sent %s", "args": ("x",)})
    assert HideCallbacks().filter(record)
    assert (record.msg, record.args) == ("sent %s", ("x",))
