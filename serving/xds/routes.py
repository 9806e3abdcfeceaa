"""The route table, and what each endpoint adds: a route, clusters, weights.

An endpoint's part is built and checked on its own, so that a bad one keeps its
last good part and blocks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from serving.models import FULL_WEIGHT
from serving.xds.wire import API, HTTP, Json

ROUTE_TABLE = "gw"
BYTE_PREFIXES = ("/api/2.0/mlflow-artifacts/", "/ajax-api/2.0/mlflow-artifacts/")
MANY = 10_000
# our servers close idle connections later than Envoy does, or it would meet a reset
_UPSTREAM_IDLE = "15s"
_SCORING_PATH = r"/serving/[^/?]+/(invocations|ping|version)(\?.*)?"
_EVERYONE = {"envoy.filters.http.rbac": {"@type": f"{HTTP}.rbac.v3.RBACPerRoute"}}


@dataclass(frozen=True)
class Target:
    """One version behind an endpoint; `cluster` has no dots, they split statistics."""

    cluster: str
    socket: str
    model: str
    version: int
    digest: str


@dataclass(frozen=True)
class Exposure:
    """All that the gateway shows of an endpoint.

    `targets` have a process; `routed` are the clusters that may get traffic, the
    canary first. `salt` makes callers stick to a version, anew for each rollout.
    """

    key: str
    full_name: str
    targets: tuple[Target, ...]
    routed: tuple[str, ...]
    subjects: frozenset[str]
    timeout_seconds: int
    salt: str = ""


def clusters_of(endpoint: Exposure) -> list[Json]:
    """Return one health-checked cluster per process."""
    return [
        {
            **local_cluster(target.cluster, target.socket, _labels(endpoint, target)),
            "circuit_breakers": breakers(MANY),
            "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
            "health_checks": [
                {
                    "timeout": "5s",
                    "interval": "1s",
                    "no_traffic_interval": "1s",
                    "unhealthy_threshold": 3,
                    "healthy_threshold": 1,
                    "http_health_check": {"path": "/ping"},
                }
            ],
        }
        for target in endpoint.targets
    ]


def _labels(endpoint: Exposure, target: Target) -> Json:
    return {
        "endpoint": endpoint.full_name,
        "model": target.model,
        "version": str(target.version),
        "digest": target.digest,
    }


def local_cluster(name: str, socket: str, labels: Json) -> Json:
    """Return a cluster of one process on a unix socket."""
    host: Json = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    if labels:
        host["metadata"] = {"filter_metadata": {"gl": labels}}
    protocol = f"{API}.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [host]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": protocol,
                "common_http_protocol_options": {"idle_timeout": _UPSTREAM_IDLE},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def breakers(limit: int) -> Json:
    """Return limits that only a runaway reaches."""
    return {
        "thresholds": [
            {
                "max_connections": limit,
                "max_pending_requests": limit,
                "max_requests": limit,
            }
        ]
    }


def route_of(endpoint: Exposure) -> Json:
    """Return the route of an endpoint, with the subjects that may query it."""
    route: Json = {
        "name": endpoint.full_name,
        "match": {"prefix": f"/serving/{endpoint.full_name}/"},
        "metadata": {"filter_metadata": {"gl": {"endpoint": endpoint.full_name}}},
        "typed_per_filter_config": {
            "envoy.filters.http.rbac": {
                "@type": f"{HTTP}.rbac.v3.RBACPerRoute",
                "rbac": {"matcher": _gate(endpoint.subjects)},
            }
        },
    }
    if not endpoint.routed:
        said = {"inline_string": "the endpoint has no version ready"}
        return {**route, "direct_response": {"status": 503, "body": said}}
    return {
        **route,
        "response_headers_to_add": [
            _header("x-greenlight-model", "%UPSTREAM_METADATA(gl:model)%"),
            _header("x-greenlight-version", "%UPSTREAM_METADATA(gl:version)%"),
            _header("x-greenlight-digest", "%UPSTREAM_METADATA(gl:digest)%"),
        ],
        "route": _split(endpoint),
    }


def _header(key: str, value: str) -> Json:
    return {
        "header": {"key": key, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _split(endpoint: Exposure) -> Json:
    """Return the weighted split; the true weights are runtime values.

    The weights here count only if the runtime is lost: the oldest has it all.
    """
    names = endpoint.routed
    rest = [0] * (len(names) - 1) + [FULL_WEIGHT]
    weighted: Json = {
        "runtime_key_prefix": _runtime_prefix(endpoint.key),
        "clusters": [
            {"name": name, "weight": weight}
            for name, weight in zip(names, rest, strict=True)
        ],
    }
    split: Json = {
        "prefix_rewrite": "/",
        "timeout": f"{endpoint.timeout_seconds}s",
        "idle_timeout": f"{endpoint.timeout_seconds + 30}s",
        "weighted_clusters": weighted,
        "retry_policy": {
            "retry_on": "connect-failure,reset-before-request",
            "num_retries": 1,
        },
    }
    if endpoint.salt:
        weighted["use_hash_policy"] = True
        split["hash_policy"] = _sticky(endpoint.salt)
    return split


def _sticky(salt: str) -> list[Json]:
    """Return by what callers stick: their own header, else who they are."""
    rewrite = {"pattern": {"regex": "^(.+)$"}, "substitution": rf"{salt}:\1"}
    return [
        {"header": {"header_name": name, "regex_rewrite": rewrite}, "terminal": True}
        for name in ("x-gl-affinity", "x-gl-sub")
    ]


def _gate(subjects: frozenset[str]) -> Json:
    """Return who passes: a known path, then a known subject; nobody else."""
    subject = {
        "name": "subject",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
            "header_name": "x-gl-sub",
        },
    }
    path = {
        "name": "path",
        "typed_config": {**subject["typed_config"], "header_name": ":path"},  # type: ignore[dict-item]  # a dict by construction
    }
    deny = {"action": _verdict("no-query", "DENY")}
    allow = {"action": _verdict("query", "ALLOW")}
    by_subject: Json = {"on_no_match": deny}
    if subjects:
        table = {"map": dict.fromkeys(sorted(subjects), allow)}
        by_subject["matcher_tree"] = {"input": subject, "exact_match_map": table}
    scoring = {
        "single_predicate": {
            "input": path,
            "value_match": {"safe_regex": {"google_re2": {}, "regex": _SCORING_PATH}},
        }
    }
    matchers = [{"predicate": scoring, "on_match": {"matcher": by_subject}}]
    return {"matcher_list": {"matchers": matchers}, "on_no_match": deny}


def _verdict(name: str, action: str) -> Json:
    return {
        "name": name,
        "typed_config": {
            "@type": f"{API}.config.rbac.v3.Action",
            "name": name,
            "action": action,
        },
    }


def runtime_of(key: str, weights: dict[str, int]) -> dict[str, int]:
    """Return an endpoint's weights as runtime values, by cluster."""
    prefix = _runtime_prefix(key)
    return {f"{prefix}.{cluster}": weight for cluster, weight in weights.items()}


def runtime(values: dict[str, int]) -> Json:
    """Return the layer of all weights."""
    return {"name": "weights", "layer": values}


def _runtime_prefix(key: str) -> str:
    return f"w.{key}"


def route_table(endpoints: Iterable[Json]) -> Json:
    """Return the whole route table: endpoints, then bytes, then the web."""
    nobody = {
        "name": "unknown-endpoint",
        "match": {"prefix": "/serving/"},
        "direct_response": {"status": 403},
    }
    forever = {"timeout": "0s", "idle_timeout": "3600s"}
    byte_routes = [
        _front(prefix, "bytes", forever, _EVERYONE) for prefix in BYTE_PREFIXES
    ]
    patient = {"timeout": "300s", "idle_timeout": "600s"}
    web = _front("/", "web", patient, _EVERYONE)
    return {
        "name": ROUTE_TABLE,
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [*endpoints, nobody, *byte_routes, web],
            }
        ],
    }


def _front(prefix: str, cluster: str, limits: Json, filters: Json) -> Json:
    return {
        "name": cluster,
        "match": {"prefix": prefix},
        "route": {
            "cluster": cluster,
            **limits,
            "retry_policy": {"retry_on": "connect-failure", "num_retries": 2},
        },
        "typed_per_filter_config": filters,
    }
