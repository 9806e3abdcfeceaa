"""Play the CI: receive a webhook, test the version, report a check.

A receiver needs nothing of Greenlight but its URL and a token: the signature is
plain HMAC (Standard Webhooks), the version is loaded with the stock client.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

WORK = Path(os.environ["DEMO_WORK"])  # holds secret, holdout.csv, and our notes
TOLERANCE_SECONDS = 300
NEEDED_ACCURACY = 0.9


def is_genuine(headers: Any, body: bytes) -> bool:
    """Verify `webhook-signature` (https://www.standardwebhooks.com)."""
    secret = (WORK / "secret").read_text().removeprefix("whsec_")
    stamp = headers["webhook-timestamp"]
    if abs(time.time() - int(stamp)) > TOLERANCE_SECONDS:
        return False
    signed = f"{headers['webhook-id']}.{stamp}.".encode() + body
    expected = hmac.new(base64.b64decode(secret), signed, hashlib.sha256).digest()
    given = [part.split(",", 1)[1] for part in headers["webhook-signature"].split()]
    return any(hmac.compare_digest(base64.b64decode(g), expected) for g in given)


def check(data: dict[str, Any]) -> dict[str, Any]:
    """Load the version with the stock client and score the hold-out set."""
    model = mlflow.pyfunc.load_model(f"models:/{data['model']}/{data['version']}")
    table = pd.read_csv(WORK / "holdout.csv")
    labels = table.pop("malignant")
    accuracy = float((model.predict(table) == labels).mean())
    return {
        "name": "holdout-accuracy",
        "passed": accuracy >= NEEDED_ACCURACY,
        "comment": f"accuracy {accuracy:.4f} on {len(labels)} held-out records",
        "evidence": {"accuracy": accuracy, "records": len(labels)},
        "digest": data["digest"],
    }


def report(request_id: str, result: dict[str, Any]) -> None:
    """Report the check with the service principal's own token."""
    url = f"{os.environ['MLFLOW_TRACKING_URI']}/api/v1/approvals/{request_id}/checks"
    request = urllib.request.Request(
        url,
        json.dumps(result).encode(),
        {
            "Authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


def work(data: dict[str, Any]) -> None:
    result = check(data)
    report(data["request_id"], result)
    with (WORK / "checks.jsonl").open("a") as notes:
        notes.write(json.dumps({"version": data["version"], **result}) + "\n")


class Receiver(BaseHTTPRequestHandler):
    """Answer at once, work afterwards: a webhook is not a job."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        genuine = is_genuine(self.headers, body)
        self.send_response(204 if genuine else 401)
        self.end_headers()
        event = json.loads(body)
        if genuine and event["type"] == "approval.requested":
            threading.Thread(target=work, args=(event["data"],)).start()

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet; the demo tells the story."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
