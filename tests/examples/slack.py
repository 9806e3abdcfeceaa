"""Slack: takes a message with buttons, and posts, signed, who pressed which.

As documented: chat.postMessage answers 200 with `ok` true or false; an interaction is a
form with one field `payload`, signed with the app's secret, and must be answered within
three seconds; later words go to its response_url.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from tests.examples.standins import Answer, Standin, answer


class Slack(Standin):
    """One workspace with one channel and one app."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.secret = "xoxb-1-2-abc", "8f742231b10e8888abcd99yyyzzz85a5"
        self.channel = "C024BE91L"
        self.messages: list[dict[str, Any]] = []
        self.responses: queue.Queue[dict[str, Any]] = queue.Queue()

    def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        given = json.loads(body)
        if path == "/response/1":
            self.responses.put(given)
            return 200, {}, "ok"
        if path != "/api/chat.postMessage":
            return answer(404)
        if headers.get("Authorization") != f"Bearer {self.token}":
            return answer(200, {"ok": False, "error": "invalid_auth"})
        if given["channel"] != self.channel:
            return answer(200, {"ok": False, "error": "channel_not_found"})
        assert given["text"]
        _check_blocks(given["blocks"])
        self.messages.append(given)
        return answer(200, {"ok": True, "channel": self.channel, "ts": "1.000100"})

    def press(self, relay: str, action: str, user: str = "U01APPROVER") -> int:
        """Press a button of the last message; return how the relay answered."""
        (found,) = [
            element
            for block in self.messages[-1]["blocks"]
            for element in block.get("elements", [])
            if element["action_id"] == action
        ]
        payload = {
            "type": "block_actions",
            "user": {"id": user, "username": "ada", "name": "ada"},
            "actions": [
                {"type": "button", "action_id": action, "value": found["value"]}
            ],
            "response_url": f"{self.url}/response/1",
        }
        return self.post(relay, payload)

    def post(
        self, relay: str, payload: Any, *, age: int = 0, secret: str | None = None
    ) -> int:
        """Post an interaction, signed; return the status of the answer."""
        form = urllib.parse.urlencode({"payload": json.dumps(payload)}).encode()
        stamp = str(int(time.time()) - age)
        signed = b"v0:" + stamp.encode() + b":" + form
        key = (secret or self.secret).encode()
        digest = hmac.new(key, signed, hashlib.sha256).hexdigest()
        headers = {
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={digest}",
        }
        request = urllib.request.Request(f"{relay}/slack", form, headers)
        try:
            with urllib.request.urlopen(request, timeout=3) as answered:
                return int(answered.status)
        except urllib.error.HTTPError as error:
            return error.code


def _check_blocks(blocks: list[dict[str, Any]]) -> None:
    """Hold a message against the limits of Block Kit."""
    assert 0 < len(blocks) <= 50
    for block in blocks:
        assert block["type"] in {"section", "actions"}
        if block["type"] == "section":
            assert 0 < len(block["text"]["text"]) <= 3000
        for element in block.get("elements", []):
            assert element["style"] in {"primary", "danger"}
            assert len(element["text"]["text"]) <= 75
            assert len(element["value"]) <= 2000
            assert len(element["action_id"]) <= 255
