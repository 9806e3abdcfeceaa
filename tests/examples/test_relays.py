"""Every relay: takes what Greenlight signed, passes it on once, loses nothing."""

from __future__ import annotations

import ast
import http.client
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.examples.conftest import (
    EVENT,
    SECRET,
    StartRelay,
    post,
    relay_running,
    signed,
)
from tests.examples.standins import EXAMPLES, Answer, Standin, answer

SYSTEMS = {
    "github-actions": {
        "GITHUB_API_URL": "{url}",
        "GITHUB_REPOSITORY": "acme/models",
        "GITHUB_TOKEN": "token",
    },
    "gitlab-ci": {
        "GITLAB_URL": "{url}",
        "GITLAB_PROJECT": "7",
        "GITLAB_TRIGGER_TOKEN": "token",
    },
    "jenkins": {
        "JENKINS_URL": "{url}",
        "JENKINS_JOB": "job",
        "JENKINS_USER": "relay",
        "JENKINS_API_TOKEN": "token",
    },
    "slack": {
        "SLACK_API_URL": "{url}",
        "SLACK_BOT_TOKEN": "token",
        "SLACK_SIGNING_SECRET": "secret",
        "SLACK_CHANNEL": "C1",
        "SLACK_APPROVERS": "U1",
    },
}


class Sink(Standin):
    """Takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[bytes] = []

    def handle(self, method: str, path: str, headers: Any, body: bytes) -> Answer:
        self.taken.append(body)
        return answer(200, {"ok": True})


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    with sink.listening():
        yield sink


def variables(name: str, sink: Sink) -> dict[str, str]:
    own = {key: text.format(url=sink.url) for key, text in SYSTEMS[name].items()}
    return {"GREENLIGHT_WEBHOOK_SECRET": SECRET, **own}


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_is_not_signed_right_is_refused(
    name: str, sink: Sink, start_relay: StartRelay
) -> None:
    relay = start_relay(name, variables(name, sink))
    body, headers = signed(EVENT)
    other = "whsec_" + "b3RoZXJz" * 4
    refused = [
        signed(EVENT, secret=other),
        signed(EVENT, age=400),
        signed(EVENT, age=-400),
        (body + b" ", headers),
        (body, {**headers, "webhook-id": "msg_2"}),
        (body, {**headers, "webhook-signature": "v1"}),
        (body, {**headers, "webhook-signature": "v1,%%%"}),
        (body, {**headers, "webhook-timestamp": "soon"}),
        (body, {key: headers[key] for key in headers if key != "webhook-id"}),
        (b"\xff\xfe", headers),
    ]
    assert [post(relay, message) for message in refused] == [401] * len(refused)
    assert [claim(relay, length) for length in ("1048577", "", "-1")] == [413] * 3
    assert post(relay, signed(EVENT), "/") == 404
    assert post(relay, signed({"type": "alias.set", "data": {}})) == 200
    assert post(relay, signed({"type": "approval.requested", "data": {}})) == 200
    assert sink.taken == []


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_delivery_is_passed_on_once(name: str, sink: Sink, tmp_path: Path) -> None:
    """Also when the other side was away first, and after the relay was started anew."""
    with ExitStack() as stack:

        def start() -> str:
            running = relay_running(name, variables(name, sink), tmp_path / "relay")
            return stack.enter_context(running)

        relay = start()
        sink.broken = 503
        assert post(relay, signed(EVENT)) == 502
        sink.broken = None
        assert [post(relay, signed(EVENT)) for _ in range(3)] == [200] * 3
        assert len(sink.taken) == 1
        relay = start()
        assert post(relay, signed(EVENT)) == 200
        assert post(relay, signed(EVENT, message_id="msg_2")) == 200
    assert len(sink.taken) == 2


@pytest.mark.parametrize("name", SYSTEMS)
def test_secret_may_come_from_a_file_and_must_come(
    name: str, sink: Sink, tmp_path: Path, start_relay: StartRelay
) -> None:
    given = variables(name, sink)
    path = tmp_path / "secret"
    path.write_text(given.pop("GREENLIGHT_WEBHOOK_SECRET") + "\n")
    done = subprocess.run(
        [sys.executable, "-I", str(EXAMPLES / name / "relay.py")],
        env=given,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Set GREENLIGHT_WEBHOOK_SECRET" in done.stderr
    relay = start_relay(name, {**given, "GREENLIGHT_WEBHOOK_SECRET_FILE": str(path)})
    with urllib.request.urlopen(f"{relay}/health", timeout=10) as answered:
        assert answered.status == 200
    assert post(relay, signed(EVENT)) == 200


def test_slack_that_refuses_politely_is_asked_again(
    sink: Sink, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = start_relay("slack", variables("slack", sink))
    monkeypatch.setattr(
        sink, "handle", lambda *_: answer(200, {"ok": False, "error": "ratelimited"})
    )
    assert post(relay, signed(EVENT)) == 502


def test_relays_verify_alike() -> None:
    """A fix of one is a fix of all."""
    first, *others = [_common_part(name) for name in SYSTEMS]
    assert len(first) == 5
    assert all(other == first for other in others)


def _common_part(name: str) -> list[str]:
    tree = ast.parse((EXAMPLES / name / "relay.py").read_text())
    wanted = {"__init__", "setting", "receive", "_once", "serve"}
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name in wanted
    ]


def claim(relay: str, length: str) -> int:
    """Say how long the body will be, and send none; return the status."""
    connection = http.client.HTTPConnection(relay.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/greenlight")
    if length:
        connection.putheader("Content-Length", length)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status
