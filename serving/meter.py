"""What Envoy counted, added up by endpoint and version."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from serving.gateway import Counts, Observation

_RECENT_SECONDS = 10.0

# {endpoint id: {version number: {"requests", "errors", "recent"}}}
Totals = dict[str, dict[str, Counts]]
Owner = tuple[str, str]  # endpoint id, version number


class Meter:
    """Totals that outlive Envoy's restarts, and the requests of the last 10 seconds."""

    def __init__(self, totals: Totals) -> None:
        self.totals = totals
        self._last: dict[str, tuple[int, int]] = {}
        self._looks: deque[tuple[float, dict[Owner, int]]] = deque()

    def add(self, seen: Observation, owners: dict[str, Owner]) -> Totals:
        """Take one look at the counters; `owners` says whose each cluster is."""
        fresh: dict[Owner, int] = {}
        errors = seen.stats.get("upstream_rq_5xx", {})
        for cluster, total in seen.stats.get("upstream_rq_total", {}).items():
            if owner := owners.get(cluster):
                requests = self._count(cluster, owner, (total, errors.get(cluster, 0)))
                fresh[owner] = fresh.get(owner, 0) + requests
        now = time.monotonic()
        self._looks.append((now, fresh))
        while self._looks[0][0] < now - _RECENT_SECONDS:
            self._looks.popleft()
        for owner, counts in self._all():
            counts["recent"] = sum(look.get(owner, 0) for _, look in self._looks)
        return self.totals

    def _count(self, cluster: str, owner: Owner, now: tuple[int, int]) -> int:
        """Add what is new of a cluster; fewer than before means a new Envoy.

        The first look at a cluster only sets the mark: a new agent does not know
        how much of the count an earlier one has added already.
        """
        last = self._last.get(cluster, now)
        if now[0] < last[0]:
            last = (0, 0)
        self._last[cluster] = now
        endpoint, number = owner
        counts = self.totals.setdefault(endpoint, {}).setdefault(
            number, {"requests": 0, "errors": 0, "recent": 0}
        )
        counts["requests"] += now[0] - last[0]
        counts["errors"] += now[1] - last[1]
        return now[0] - last[0]

    def _all(self) -> Iterator[tuple[Owner, Counts]]:
        for endpoint, versions in self.totals.items():
            for number, counts in versions.items():
                yield (endpoint, number), counts
