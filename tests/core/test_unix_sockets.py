"""The HTTP client speaks to programs of the stack over sockets of files."""

from __future__ import annotations

import os
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from core import outbound
from core.outbound import OutboundFailed


class _Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(self.path.encode() * 10_000)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["content-length"])))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def unix_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    with socketserver.ThreadingUnixStreamServer("echo.sock", _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "echo.sock"
        server.shutdown()


def test_unix_get_returns_the_whole_body(unix_server: str) -> None:
    response = outbound.unix_get(unix_server, "/clusters", timeout=5)
    assert response.body == b"/clusters" * 10_000


def test_unix_post_sends_the_body(unix_server: str) -> None:
    body = os.urandom(200_000)
    response = outbound.unix_post(unix_server, "/ping", body, {}, timeout=5)
    assert response.body == body


def test_missing_unix_socket_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(OutboundFailed):
        outbound.unix_get(str(tmp_path / "none.sock"), "/", timeout=1)
