"""The receiver of docs/howto/receive-a-webhook.md works as it is printed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from events.models import Event
from webhooks import services, signing
from webhooks.models import Delivery, DeliveryStatus, Webhook

PAGE = Path(__file__).parents[2] / "docs/howto/receive-a-webhook.md"


@pytest.fixture
def receiver(
    make_webhook: Callable[..., Webhook], tmp_path: Path
) -> Iterator[subprocess.Popen[str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    webhook = make_webhook(url=f"http://127.0.0.1:{port}/")
    script = tmp_path / "receiver.py"
    script.write_text(PAGE.read_text().split("```python\n")[1].split("```")[0])
    variables = {"PORT": str(port), "WEBHOOK_SECRET": webhook.secret_text}
    with subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process
        process.kill()


def send(event: Event) -> int | None:
    """Attempt the delivery of an event until the receiver has started."""
    (delivery,) = services.fan_out(event)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        attempt = services.attempt(delivery)
        assert attempt is not None
        if attempt.status_code is not None:
            return attempt.status_code
        Delivery.objects.update(next_attempt_at=event.created_at, failures=0)
        time.sleep(0.05)
    raise AssertionError("the receiver did not start")


def test_printed_receiver_takes_what_is_signed(
    receiver: subprocess.Popen[str], event: Event
) -> None:
    assert send(event) == 204
    assert Delivery.objects.get().status == DeliveryStatus.DELIVERED
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "alias.set prod.fraud.scorer\n"


@pytest.mark.usefixtures("receiver")
def test_printed_receiver_refuses_another_signature(event: Event) -> None:
    Webhook.objects.update(encrypted_secret=signing.encrypt(signing.new_secret()))
    assert send(event) == 401
