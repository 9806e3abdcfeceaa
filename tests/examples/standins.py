"""Stand-ins of the systems outside: they listen, check, and run what is theirs to run."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"

Answer = tuple[int, dict[str, str], str]


class Standin:
    """A server that answers as `handle` says."""

    def __init__(self) -> None:
        self.url = ""
        # answered instead, as long as it is set: the system is out of order
        self.broken: int | None = None

    def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        raise NotImplementedError

    @contextmanager
    def listening(self) -> Iterator[None]:
        handler = _handler(self)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            yield
            server.shutdown()
            thread.join()


def _handler(standin: Standin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, text = (
                (standin.broken, {}, "out of order")
                if standin.broken
                else standin.handle("POST", self.path, self.headers, body)
            )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: Any) -> None:
            """Keep quiet."""

    return Handler


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    """Make an answer with JSON, or with nothing."""
    text = "" if body is None else json.dumps(body)
    return status, {"Content-Type": "application/json", **headers}, text


def shell(
    command: list[str], script: str, variables: Mapping[str, str], work: Path
) -> tuple[bool, str]:
    """Run a script as a runner does; return whether it succeeded, and its log.

    It sees nothing of this process but where programs are.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / "script.sh"
    path.write_text(script)
    done = subprocess.run(
        [*command, str(path)],
        cwd=work,
        env={"PATH": os.environ["PATH"], "HOME": str(work), "CI": "true", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0, done.stdout
