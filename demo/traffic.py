"""Steady predictions, and who answered them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import httpx


class Traffic:
    """Callers that never stop; every answer is counted by version."""

    def __init__(
        self, url: str, token: str, body: dict[str, Any], callers: int
    ) -> None:
        self.url = url
        self.token = token
        self.body = body
        self.answers: list[tuple[float, str]] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(headers=headers, timeout=30, trust_env=False) as client:
            while not self._stop.is_set():
                sent_at = time.monotonic()
                try:
                    answer = client.post(self.url, json=self.body)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code != 200:
                    self.failures.append(f"{answer.status_code} {answer.text[:200]}")
                version = answer.headers.get("x-greenlight-version", "?")
                self.answers.append((sent_at, version))

    def seen(self, since: float, until: float) -> Counter[str]:
        """Count the answers to predictions sent in a span of time, by version."""
        return Counter(v for at, v in self.answers if since <= at < until)

    def last(self, version: str) -> float:
        """Return when the last prediction was sent that a version answered."""
        return max((at for at, v in self.answers if v == version), default=0.0)
