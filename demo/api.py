"""Greenlight's REST API as one principal sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx


class Api:
    """Calls with one access token; an answer outside 2xx is an error."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self.http = httpx.Client(
            base_url=f"{url}/api/v1/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
            trust_env=False,
        )

    def get(self, path: str, **query: str) -> Any:
        return self._json(self.http.get(path, params=query))

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._json(self.http.post(path, json=body or {}))

    def upload(self, path: str, files: dict[str, Path]) -> Any:
        """Send files as multipart; the field is the file's path in the dataset."""
        parts = {name: (name, file.read_bytes()) for name, file in files.items()}
        return self._json(self.http.post(path, files=parts))

    def grant(
        self, kind: str, full_name: str, principal: str, *privileges: str
    ) -> None:
        change = {"principal": principal, "add": list(privileges)}
        self._json(
            self.http.patch(
                f"permissions/{kind}/{full_name}", json={"changes": [change]}
            )
        )

    @staticmethod
    def _json(response: httpx.Response) -> Any:
        if response.is_success:
            return response.json() if response.content else {}
        raise AssertionError(
            f"{response.request.method} {response.request.url} answered "
            f"{response.status_code}: {response.text[:500]}"
        )


def wait_for(
    what: str, probe: Callable[[], Any], *, seconds: float, every: float = 0.2
) -> Any:
    """Return the first true answer of `probe`. Raises AssertionError when late."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := probe():
            return answer
        time.sleep(every)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s.")
