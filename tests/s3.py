"""A real S3 server, as a process, for the tests of object storage."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_START_SECONDS = 30.0


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's server on a free port, and yield its URL once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **CREDENTIALS},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(process, port)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, "moto's server ended at once"
        try:
            answer = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            answer.request("GET", "/moto-api/")
            answer.close()
        except OSError:
            assert time.monotonic() < deadline, "moto's server does not answer"
            time.sleep(0.05)
        else:
            return
