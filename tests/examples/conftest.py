"""A live Greenlight, relays as real processes, and a request to decide on."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from pytest_django.live_server_helper import LiveServer
from standardwebhooks import Webhook as Signer

from access.models import User
from approvals import callbacks
from approvals import services as approvals
from approvals.models import ApprovalRequest
from events.models import Event
from registry import services as registry
from registry.models import ModelVersion
from tests.examples.standins import EXAMPLES
from webhooks import services as webhooks
from webhooks.models import Webhook

SECRET = "whsec_" + "c2VjcmV0" * 4

EVENT: dict[str, Any] = {
    "type": "approval.requested",
    "timestamp": "2026-03-01T12:00:00+00:00",
    "data": {
        "request_id": "f0e1",
        "model": "prod.fraud.scorer",
        "alias": "Champion",
        "version": 2,
        "previous": 1,
        "digest": "a" * 64,
        "requested_by": "owner",
        "reason": "better",
        "expires_at": "2026-03-08T12:00:00+00:00",
        "links": {"review": "http://greenlight.example/approvals/f0e1/"},
        "callback": {"url": "http://greenlight.example/api/v1/callbacks/glcb_x"},
    },
}

StartRelay = Callable[[str, dict[str, str]], str]


@contextmanager
def relay_running(name: str, variables: dict[str, str], work: Path) -> Iterator[str]:
    """Run a relay as it is deployed: alone, by its variables; yield its address."""
    work.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-I", str(EXAMPLES / name / "relay.py")],
        env={"PATH": os.environ["PATH"], "PORT": "0", **variables},
        cwd=work,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"listening on port (\d+)\n", line)
        assert match, line
        try:
            yield f"http://127.0.0.1:{match[1]}"
        finally:
            process.kill()


@pytest.fixture
def start_relay(tmp_path: Path) -> Iterator[StartRelay]:
    with ExitStack() as stack:

        def start(name: str, variables: dict[str, str]) -> str:
            return stack.enter_context(
                relay_running(name, variables, tmp_path / "relay")
            )

        yield start


def signed(
    data: dict[str, Any] | bytes,
    *,
    message_id: str = "msg_1",
    age: float = 0,
    secret: str = SECRET,
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers as Greenlight sends them."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    moment = dt.datetime.now(tz=dt.UTC) - dt.timedelta(seconds=age)
    signature = Signer(secret).sign(message_id, moment, body.decode())
    return body, {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature,
    }


def post(
    relay: str, message: tuple[bytes, dict[str, str]], path: str = "/greenlight"
) -> int:
    request = urllib.request.Request(f"{relay}{path}", *message)
    try:
        with urllib.request.urlopen(request, timeout=10) as answered:
            return int(answered.status)
    except urllib.error.HTTPError as error:
        return error.code


class Hub:
    """Greenlight with a request for Champion, and a webhook for it."""

    def __init__(self, approval: ApprovalRequest, webhook: Webhook) -> None:
        self.approval = approval
        self.webhook = webhook
        event = Event.objects.get(type="approval.requested")
        given = callbacks.for_webhook(event, webhook.pk, webhook.created_by)
        # known here to see that no log shows it
        self.callback_url = str(given["callback"]["url"])

    @property
    def secret(self) -> str:
        return self.webhook.secret_text

    def point_at(self, url: str) -> None:
        Webhook.objects.filter(pk=self.webhook.pk).update(url=url)

    def deliver(self) -> int | None:
        """Send the delivery of approval.requested; return how it was answered."""
        event = Event.objects.get(type="approval.requested")
        (delivery,) = webhooks.fan_out(event)
        attempt = webhooks.attempt(delivery)
        assert attempt is not None
        return attempt.status_code

    @property
    def status(self) -> str:
        self.approval.refresh_from_db()
        return str(self.approval.status)

    @property
    def champion(self) -> int | None:
        alias = registry.get_alias(self.approval.model, "Champion")
        return alias.version.number if alias and alias.version else None


@pytest.fixture
def hub(
    live_server: LiveServer,
    version: ModelVersion,
    owner: User,
    admin: User,
    settings: LazySettings,
) -> Hub:
    """A live server; its policy lets the callback approve."""
    settings.PUBLIC_URL = live_server.url
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    approvals.create_policy(
        version.model, "Champion", callback_may_approve=True, principal=admin
    )
    webhook = webhooks.create_webhook(
        "http://127.0.0.1:9/", ["approval.requested"], principal=admin
    )
    approval = approvals.request_alias(
        version.model,
        "Champion",
        version,
        reason='better & <cheaper> "$(touch /tmp/x)"',
        principal=owner,
    )
    return Hub(approval, webhook)
