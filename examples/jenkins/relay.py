"""Start a Jenkins build for every approval request of Greenlight.

Greenlight posts `approval.requested` here; this starts a parametrized build with an
API token. Needs Python 3.11 and `pip install standardwebhooks`; settings are in README.md.
"""

from __future__ import annotations

import base64
import os
import sqlite3
import sys
import threading
import time
import urllib.parse
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
        folders = "/job/".join(
            urllib.parse.quote(part) for part in self.setting("JENKINS_JOB").split("/")
        )
        self.url = f"{self.setting('JENKINS_URL')}/job/{folders}/buildWithParameters"
        pair = f"{self.setting('JENKINS_USER')}:{self.setting('JENKINS_API_TOKEN')}"
        self.credential = base64.b64encode(pair.encode()).decode()
        self.routes = {"/greenlight": self.receive}

    def pass_on(self, data: dict[str, Any]) -> None:
        """Queue the build; a request with an API token needs no crumb."""
        form = {
            "REQUEST_ID": data["request_id"],
            "MODEL": data["model"],
            "ALIAS": data["alias"],
            "VERSION": data["version"],
            "DIGEST": data["digest"],
            "REVIEW_URL": data["links"]["review"],
            "CALLBACK_URL": data["callback"]["url"],
        }
        request = urllib.request.Request(
            self.url,
            urllib.parse.urlencode(form).encode(),
            {"Authorization": f"Basic {self.credential}"},
        )
        with urllib.request.urlopen(request, timeout=10):
            pass  # 201 with the place in the queue; anything else is raised


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
