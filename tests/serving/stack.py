"""A real Envoy and a real agent for tests, in a home of their own."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from access.models import User
from serving import envoy
from serving.agent import Agent
from serving.models import ModelServer
from serving.servers import local
from serving.tokens import issue_serving_token

UPSTREAM = Path(__file__).with_name("upstream.py")
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Stack:
    """Envoy on a port, and an agent that ticks when the test says so."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.agent = Agent()

    def restart_agent(self) -> None:
        self.agent = Agent()

    def tick_until(self, condition: Callable[[], bool]) -> None:
        """Tick until the condition holds, within a minute."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < until, self.agent.gateway.observe()
            self.agent.tick()
            time.sleep(0.02)

    def call(
        self,
        path: str,
        principal: User | None = None,
        *,
        body: bytes = b"{}",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """POST through the public port with an endpoint token of the principal."""
        token = issue_serving_token(principal).token if principal else ""
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        sent = {"Content-Type": "application/json", **bearer, **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", path, body, sent)
            answer = connection.getresponse()
            found = {key.lower(): value for key, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Run Envoy for the settings' home; end every process at the end."""
    settings.GATEWAY_DIR.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    os.chdir(settings.HOME)
    port = _free_port()
    envoy.write_bootstrap(settings.GATEWAY_DIR, port)
    with (settings.HOME / "envoy.log").open("wb") as log:
        process = subprocess.Popen(
            envoy.command(settings.GATEWAY_DIR), cwd=settings.HOME, stderr=log
        )
    try:
        _wait_for(port, process)
        yield Stack(port)
    finally:
        local.stop_all()
        process.terminate()
        process.wait()
        os.chdir(before)


@contextmanager
def upstreams() -> Iterator[Callable[[ModelServer], subprocess.Popen[bytes]]]:
    """Run tiny servers in the place of model servers; the agent takes them over."""
    started: list[subprocess.Popen[bytes]] = []

    def start(server: ModelServer) -> subprocess.Popen[bytes]:
        socket_path = local.socket_of(server.pk)
        command = [sys.executable, str(UPSTREAM), "--uds", socket_path]
        process = subprocess.Popen(
            [*command, str(server.version.number)],
            cwd=settings.HOME,
            start_new_session=True,
        )
        started.append(process)
        until = time.monotonic() + PATIENCE_SECONDS
        while not Path(socket_path).exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, (settings.HOME / "envoy.log").read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("Envoy did not open its port.")
