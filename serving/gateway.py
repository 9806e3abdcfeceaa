"""One gateway: write what Envoy reads, and read back what Envoy says.

The agent is the only writer. Order keeps every request answered: a cluster is
there and healthy before a route names it, and a route forgets it before it goes.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.outbound import OutboundFailed, unix_get
from serving import envoy
from serving.xds import routes as xds
from serving.xds.wire import (
    CLUSTER,
    ROUTES,
    RUNTIME,
    Json,
    digest_of,
    relative,
    response,
    write_file,
)

logger = logging.getLogger(__name__)

Counts = dict[str, int]

_ADMIN_SECONDS = 2.0
_STATS = (
    r"^(cluster_manager\.cds|http\.gw\.rds\.gw|runtime)\.version_text$"
    r"|^cluster\.m-.*\.(membership_healthy|upstream_rq_active|upstream_rq_total|upstream_rq_5xx)$"
)
_KINDS = {"cluster_manager.cds": "cds", "http.gw.rds.gw": "rds", "runtime": "rtds"}
_CLUSTER_STAT = re.compile(r"cluster\.(m-[^.]+)\.(\w+)")


@dataclass(frozen=True)
class Observation:
    """What Envoy said at one moment; `stats` are by kind and cluster."""

    is_ready: bool = False
    accepted: dict[str, str] = field(default_factory=dict)
    stats: dict[str, Counts] = field(default_factory=dict)

    def is_healthy(self, cluster: str) -> bool:
        return self.stats.get("membership_healthy", {}).get(cluster, 0) > 0

    def active_requests(self, cluster: str) -> int:
        return self.stats.get("upstream_rq_active", {}).get(cluster, 0)


class Gateway:
    """The files of one Envoy, and what it made of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.problems: dict[str, str] = {}
        self._good = {
            path.stem: json.loads(path.read_text())
            for path in (directory / "fragments").glob("*.json")
        }
        self._refused: dict[str, str] = {}
        self._written = {kind: self._version(kind) for kind in ("cds", "rds", "rtds")}
        self._routed = self._routed_in_file()
        self._weights = self._weights_in_file()
        self._accepted_routed: frozenset[str] = frozenset()

    def observe(self) -> Observation:
        """Ask Envoy what it accepted, who is healthy and what it counted."""
        socket = relative(self.directory, envoy.ADMIN_SOCKET)
        try:
            answer = unix_get(
                socket,
                f"/stats?format=json&filter={_quoted(_STATS)}",
                timeout=_ADMIN_SECONDS,
            )
        except OutboundFailed:
            return Observation()
        if answer.status != 200:
            return Observation()
        seen = _read_stats(json.loads(answer.body)["stats"])
        if seen.accepted.get("rds") == self._written["rds"]:
            self._accepted_routed = self._routed
        return seen

    def forgot(self, cluster: str, seen: Observation) -> bool:
        """Tell whether no route names the cluster any more, in Envoy as in the file."""
        if cluster in self._routed:
            return False
        return not seen.is_ready or seen.accepted.get("rds") == self._written["rds"]

    def is_settled(self, seen: Observation) -> bool:
        """Tell whether Envoy accepted all that was written."""
        return seen.accepted == self._written

    def removed(self, seen: Observation) -> bool:
        """Tell whether Envoy has the clusters that are in the file, and no others."""
        return not seen.is_ready or seen.accepted.get("cds") == self._written["cds"]

    def publish_weights(self, weights: dict[str, Counts]) -> None:
        """Write the weights of all endpoints; Envoy takes them within a millisecond.

        An endpoint whose routes Envoy has not accepted yet keeps its weights until
        then: a split that names only part of its clusters would lose requests.
        """
        known = self._accepted_routed & self._routed
        for key, split in weights.items():
            if {cluster for cluster, weight in split.items() if weight} <= known:
                self._weights[key] = split
        for key in self._weights.keys() - weights.keys():
            del self._weights[key]
        values = {
            name: weight
            for key, split in self._weights.items()
            for name, weight in xds.runtime_of(key, split).items()
        }
        self._write("rtds", response(RUNTIME, [xds.runtime(values)]))

    def publish(self, exposures: list[xds.Exposure]) -> None:
        """Write routes and clusters; an endpoint that Envoy refuses keeps its last good."""
        fragments = {e.key: _fragment(e) for e in exposures}
        self._judge(fragments)
        for key in self._good.keys() - fragments.keys():
            del self._good[key]
            (self.directory / "fragments" / f"{key}.json").unlink(missing_ok=True)
        good = [self._good[key] for key in sorted(self._good)]
        clusters = [cluster for fragment in good for cluster in fragment["clusters"]]
        self._write("cds", response(CLUSTER, clusters))
        table = xds.route_table([fragment["route"] for fragment in good])
        self._routed = frozenset(
            name for fragment in good for name in fragment["routed"]
        )
        self._write("rds", response(ROUTES, [table]))

    def _judge(self, fragments: dict[str, Json]) -> None:
        """Accept the new fragments that Envoy would accept: all at once, else one by one."""
        new = {
            key: fragment
            for key, fragment in fragments.items()
            if self._good.get(key, {}).get("digest") != fragment["digest"]
            and self._refused.get(key) != fragment["digest"]
        }
        self.problems = {
            key: problem
            for key, problem in self.problems.items()
            if self._refused.get(key) == fragments.get(key, {}).get("digest")
        }
        if not new or not self._problem(list(new.values())):
            self._accept(new)
            return
        for key, fragment in new.items():
            if problem := self._problem([fragment]):
                logger.error("fragment refused", extra={"endpoint": key})
                self._refused[key] = fragment["digest"]
                self.problems[key] = problem
            else:
                self._accept({key: fragment})

    def _problem(self, fragments: list[Json]) -> str:
        clusters = [
            cluster for fragment in fragments for cluster in fragment["clusters"]
        ]
        table = [fragment["route"] for fragment in fragments]
        return envoy.problem_with(self.directory, table, clusters)

    def _accept(self, fragments: dict[str, Json]) -> None:
        for key, fragment in fragments.items():
            write_file(self.directory / "fragments" / f"{key}.json", fragment)
            self._good[key] = fragment
            self._refused.pop(key, None)
            self.problems.pop(key, None)

    def _write(self, kind: str, content: Json) -> bool:
        if content["version_info"] == self._written[kind]:
            return False
        write_file(self.directory / kind / f"{kind}.json", content)
        self._written[kind] = content["version_info"]
        return True

    def _version(self, kind: str) -> str:
        path = self.directory / kind / f"{kind}.json"
        return json.loads(path.read_text())["version_info"] if path.exists() else ""

    def _weights_in_file(self) -> dict[str, Counts]:
        path = self.directory / "rtds" / "rtds.json"
        if not path.exists():
            return {}
        weights: dict[str, Counts] = {}
        for name, weight in json.loads(path.read_text())["resources"][0][
            "layer"
        ].items():
            _, key, cluster = name.split(".")
            weights.setdefault(key, {})[cluster] = weight
        return weights

    def _routed_in_file(self) -> frozenset[str]:
        return frozenset(
            name for good in self._good.values() for name in good["routed"]
        )


def _fragment(exposure: xds.Exposure) -> Json:
    content: Json = {
        "route": xds.route_of(exposure),
        "clusters": xds.clusters_of(exposure),
        "routed": list(exposure.routed),
    }
    return {**content, "digest": digest_of(content)}


def _quoted(text: str) -> str:
    return "".join(f"%{ord(c):02x}" if c in "^$|()\\+*&?#" else c for c in text)


def _read_stats(rows: list[dict[str, Any]]) -> Observation:
    accepted: dict[str, str] = {}
    stats: dict[str, Counts] = {}
    for row in rows:
        name, value = row.get("name", ""), row.get("value", 0)
        if match := _CLUSTER_STAT.fullmatch(name):
            stats.setdefault(match[2], {})[match[1]] = int(value)
        elif name.endswith(".version_text"):
            accepted[_KINDS[name.removesuffix(".version_text")]] = str(value)
    return Observation(True, accepted, stats)
