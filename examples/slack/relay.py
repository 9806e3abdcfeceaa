"""Ask for approvals of Greenlight in Slack, with two buttons.

Greenlight posts `approval.requested` here; this posts a message to a channel, and
answers Greenlight when one of the approvers presses a button. Slack never sees the
callback. Needs Python 3.11 and `pip install standardwebhooks`; settings are in README.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

_KEPT = 24 * 3600  # seconds that a delivery is remembered; Greenlight signs for minutes
_MOST_BYTES = 2**20
_TOLERANCE = 300  # seconds that a signature of Slack is good for
_STATES = {"approve": "approved", "reject": "rejected"}


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
        self.api = self.setting("SLACK_API_URL", "https://slack.com/api")
        self.token = self.setting("SLACK_BOT_TOKEN")
        self.signing_secret = self.setting("SLACK_SIGNING_SECRET").encode()
        self.channel = self.setting("SLACK_CHANNEL")
        self.approvers = set(self.setting("SLACK_APPROVERS").split(","))
        self.routes = {"/greenlight": self.receive, "/slack": self.interact}
        self.state.execute(
            "CREATE TABLE IF NOT EXISTS asked"
            " (request_id TEXT PRIMARY KEY, callback TEXT, digest TEXT, what TEXT)"
        )

    def pass_on(self, data: dict[str, Any]) -> None:
        """Post the message; the callback stays here."""
        what = f"{data['model']}@{data['alias']} to version {data['version']}"
        row = (data["request_id"], data["callback"]["url"], data["digest"], what)
        self.state.execute("INSERT OR REPLACE INTO asked VALUES (?, ?, ?, ?)", row)
        message = {
            "channel": self.channel,
            "text": f"Approval wanted: {escape(what)}",
            "blocks": blocks_of(data, what),
        }
        answered = post(
            f"{self.api}/chat.postMessage",
            message,
            {"Authorization": f"Bearer {self.token}"},
        )
        if not answered.get("ok"):  # Slack refuses with status 200
            raise OSError(f"Slack says {answered.get('error')}")

    def interact(self, headers: Message, body: bytes) -> tuple[int, str]:
        """Answer Slack within its three seconds; the work goes on after that."""
        if not self.is_from_slack(headers, body):
            return 401, "The signature is wrong, or the message is too old."
        form = urllib.parse.parse_qs(body.decode())
        payload = json.loads(form.get("payload", ["{}"])[0])
        if payload.get("type") == "block_actions":
            threading.Thread(target=self.press, args=(payload,)).start()
        return 200, ""

    def is_from_slack(self, headers: Message, body: bytes) -> bool:
        stamp = headers.get("X-Slack-Request-Timestamp", "")
        if not stamp.isdigit() or abs(time.time() - int(stamp)) > _TOLERANCE:
            return False
        signed = b"v0:" + stamp.encode() + b":" + body
        digest = hmac.new(self.signing_secret, signed, hashlib.sha256).hexdigest()
        given = headers.get("X-Slack-Signature", "")
        return hmac.compare_digest(f"v0={digest}".encode(), given.encode())

    def press(self, payload: dict[str, Any]) -> None:
        """Answer Greenlight for the person who pressed a button, and tell the channel.

        Pressed twice, it is answered twice, and Greenlight repeats its first answer.
        """
        user, action = payload["user"], payload["actions"][0]
        if user["id"] not in self.approvers:
            only_you = {"response_type": "ephemeral", "replace_original": False}
            text = "You are not among the approvers."
            post(payload["response_url"], {**only_you, "text": text})
            return
        with self.lock:
            found = self.state.execute(
                "SELECT callback, digest, what FROM asked WHERE request_id = ?",
                [action["value"]],
            ).fetchone()
        if found is None or action["action_id"] not in _STATES:
            return
        callback, digest, what = found
        answer = {
            "state": _STATES[action["action_id"]],
            "comment": f"{user['name']} ({user['id']}) in Slack",
            "digest": digest,
        }
        try:
            told = f"is {post(callback, answer)['status']}"
        except urllib.error.HTTPError as error:
            told = f"was not decided: {json.load(error)['message']}"
        except OSError:
            told = "could not be decided: Greenlight does not answer. Press again."
        text = escape(f"{what} {told} ({user['name']}: {action['action_id']})")
        keep = told.startswith("could")
        post(payload["response_url"], {"replace_original": not keep, "text": text})


def blocks_of(data: dict[str, Any], what: str) -> list[dict[str, Any]]:
    """Return what the message shows: the change, its reason, a link, two buttons."""
    lines = [f"*{escape(what)}*", f"asked for by {escape(data['requested_by'])}"]
    lines += [f"> {escape(line)}" for line in data["reason"][:500].splitlines()]
    lines.append(f"<{data['links']['review']}|Look at the change>")
    buttons = [
        {
            "type": "button",
            "action_id": name,
            "style": style,
            "value": data["request_id"],
            "text": {"type": "plain_text", "text": name.title()},
        }
        for name, style in (("approve", "primary"), ("reject", "danger"))
    ]
    text = {"type": "mrkdwn", "text": "\n".join(lines)}
    return [
        {"type": "section", "text": text},
        {"type": "actions", "elements": buttons},
    ]


def escape(text: str) -> str:
    """Return a text in which Slack finds no mention and no link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def post(url: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
    """Post JSON; return the JSON of the answer, or {} where it is none."""
    kinds = {"Content-Type": "application/json; charset=utf-8"}
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {**kinds, **(headers or {})}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        content = answer.read()
    return json.loads(content) if content.startswith(b"{") else {}


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
