"""Start a GitHub Actions workflow for every approval request of Greenlight.

Greenlight posts `approval.requested` here; this posts a `repository_dispatch` to
GitHub. Needs Python 3.11 and `pip install standardwebhooks`; settings are in README.md.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

_KEPT = 24 * 3600  # seconds that a delivery is remembered; Greenlight signs for minutes
_MOST_BYTES = 2**20


class Relay:
    """Verifies deliveries, passes each on once, and answers so that the rest comes again."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.webhook = Webhook(self.setting("GREENLIGHT_WEBHOOK_SECRET"))
        # what was passed on, across restarts; one thread at a time uses it
        self.lock = threading.Lock()
        path = self.setting("RELAY_STATE", "relay.sqlite3")
        self.state = sqlite3.connect(
            path, check_same_thread=False, isolation_level=None
        )
        self.state.execute(
            "CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, at REAL NOT NULL)"
        )
        self.prepare()

    def setting(self, name: str, default: str | None = None) -> str:
        """Read a variable, or the file that its `_FILE` twin names."""
        if path := self.environ.get(f"{name}_FILE"):
            with open(path) as file:
                return file.read().strip()
        value = self.environ.get(name, default)
        if value is None:
            raise SystemExit(f"Set {name} or {name}_FILE.")
        return value

    def receive(self, headers: Message, body: bytes) -> tuple[int, str]:
        """Answer a delivery of Greenlight: status and text."""
        try:
            event = self.webhook.verify(body, dict(headers.items()))
        except (WebhookVerificationError, ValueError):
            return 401, "The signature is wrong, or the message is too old."
        data = event.get("data", {})
        if event.get("type") != "approval.requested":
            return 200, "Not for us."
        if "callback" not in data:
            return 200, "There is no callback to answer by."
        with self.lock:
            return self._once(headers["webhook-id"], data)

    def _once(self, message_id: str, data: dict[str, Any]) -> tuple[int, str]:
        self.state.execute("DELETE FROM seen WHERE at < ?", [time.time() - _KEPT])
        found = self.state.execute("SELECT 1 FROM seen WHERE id = ?", [message_id])
        if found.fetchone():
            return 200, "Passed on before."
        try:
            self.pass_on(data)
        except OSError as error:  # of the network, or a status that is no success
            print(f"not passed on: {error}", file=sys.stderr, flush=True)
            return 502, "Not passed on; send it again."
        self.state.execute("INSERT INTO seen VALUES (?, ?)", [message_id, time.time()])
        return 200, "Passed on."

    def prepare(self) -> None:
        api = self.setting("GITHUB_API_URL", "https://api.github.com")
        self.url = f"{api}/repos/{self.setting('GITHUB_REPOSITORY')}/dispatches"
        self.token = self.setting("GITHUB_TOKEN")
        self.routes = {"/greenlight": self.receive}

    def pass_on(self, data: dict[str, Any]) -> None:
        """Start the workflow. GitHub takes at most ten properties of ours."""
        payload = {
            "request_id": data["request_id"],
            "model": data["model"],
            "alias": data["alias"],
            "version": data["version"],
            "previous": data["previous"],
            "digest": data["digest"],
            "requested_by": data["requested_by"],
            "review_url": data["links"]["review"],
            "callback_url": data["callback"]["url"],
            "expires_at": data["expires_at"],
        }
        request = urllib.request.Request(
            self.url,
            json.dumps(
                {"event_type": "greenlight-approval", "client_payload": payload}
            ).encode(),
            {
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "User-Agent": "greenlight-relay",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        with urllib.request.urlopen(request, timeout=10):
            pass  # 204; anything else but success is raised


def serve(relay: Relay) -> None:
    """Listen until the process is ended; Greenlight posts to /greenlight."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 20

        def do_GET(self) -> None:
            self.answer(200 if self.path == "/health" else 404, "")

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > _MOST_BYTES:
                self.close_connection = True
                return self.answer(413, "Too large.")
            body = self.rfile.read(int(length))
            receive = relay.routes.get(self.path)
            if receive is None:
                return self.answer(404, "Nothing is here.")
            return self.answer(*receive(self.headers, body))

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: Any) -> None:
            """Keep quiet: addresses in logs may be secrets."""

    host, port = relay.setting("HOST", "127.0.0.1"), relay.setting("PORT", "8080")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(Relay(os.environ))
