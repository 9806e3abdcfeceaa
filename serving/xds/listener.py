"""The one public port: how requests are read, checked, logged and refused."""

from __future__ import annotations

import json
from pathlib import Path

from django.conf import settings

from serving import tokens
from serving.xds.routes import ROUTE_TABLE
from serving.xds.wire import API, HTTP, Json, watched

STAT_PREFIX = "gw"


def listener(directory: Path, port: int) -> Json:
    """Return the one public port."""
    address = settings.BIND_ADDRESS
    rds = {
        "route_config_name": ROUTE_TABLE,
        "config_source": watched(directory, "rds/rds.json"),
    }
    ecds = {
        "name": "jwt",
        "config_discovery": {
            "config_source": watched(directory, "ecds/jwt.json"),
            "type_urls": [f"{HTTP}.jwt_authn.v3.JwtAuthentication"],
        },
    }
    manager = connection_manager({"rds": rds}, ecds, directory / "access.log")
    return listener_of(manager, address, port)


def listener_of(manager: Json, address: str, port: int) -> Json:
    """Return a listener on a TCP port."""
    return {
        "name": "public",
        "address": {"socket_address": {"address": address, "port_value": port}},
        "per_connection_buffer_limit_bytes": 2**20,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }


def connection_manager(routes: Json, jwt: Json, access_log: Path) -> Json:
    """Return how requests are read, checked and logged before they are routed."""
    return {
        "@type": f"{API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": STAT_PREFIX,
        **routes,
        # one spelling per path: what is checked is what is routed
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "use_remote_address": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "server_header_transformation": "PASS_THROUGH",
        "common_http_protocol_options": {
            "idle_timeout": "3600s",
            # WSGI reads X_Gl_Sub and X-Gl-Sub alike
            "headers_with_underscores_action": "DROP_HEADER",
        },
        "request_headers_timeout": "15s",
        "access_log": [_access_log(access_log)],
        "local_reply_config": _local_replies(),
        "http_filters": [
            {
                "name": "envoy.filters.http.header_mutation",
                "typed_config": {
                    "@type": f"{HTTP}.header_mutation.v3.HeaderMutation",
                    "mutations": {"request_mutations": [{"remove": "x-gl-sub"}]},
                },
            },
            jwt,
            {  # by default nobody passes; the routes say who does
                "name": "envoy.filters.http.rbac",
                "typed_config": {
                    "@type": f"{HTTP}.rbac.v3.RBAC",
                    "rules": {"action": "ALLOW", "policies": {}},
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{HTTP}.router.v3.Router"},
            },
        ],
    }


def jwt_filter() -> Json:
    """Return the check of endpoint tokens, with the keys inside."""
    provider = {
        "issuer": tokens.ISSUER,
        "audiences": [tokens.AUDIENCE],
        "local_jwks": {
            "inline_string": json.dumps(tokens.public_keys(), sort_keys=True)
        },
        # in the header only: a token in a URL ends up in logs
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "require_expiration": True,
        "forward": False,
        "payload_in_metadata": "jwt",
        "claim_to_headers": [{"header_name": "x-gl-sub", "claim_name": "sub"}],
        # the route is chosen again once the subject is known: sticky by subject
        "clear_route_cache": True,
        "jwt_cache_config": {"jwt_cache_size": 1000},
    }
    rules = [
        {"match": {"prefix": "/serving/"}, "requires": {"provider_name": "greenlight"}}
    ]
    return {
        "name": "jwt",
        "typed_config": {
            "@type": f"{HTTP}.jwt_authn.v3.JwtAuthentication",
            "providers": {"greenlight": provider},
            "rules": rules,
        },
    }


def _access_log(path: Path) -> Json:
    fields = {
        "time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "endpoint": "%METADATA(ROUTE:gl:endpoint)%",
        "subject": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:jwt:sub)%",
        "principal": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:jwt:name)%",
        "token": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:jwt:jti)%",
        "cluster": "%UPSTREAM_CLUSTER_RAW%",
        "version": "%UPSTREAM_METADATA(gl:version)%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "milliseconds": "%DURATION%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
    }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{API}.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": fields},
        },
    }


def _local_replies() -> Json:
    """Return Envoy's own refusals in the shape of all our errors."""
    said = "%LOCAL_REPLY_BODY%"
    bodies = {
        400: ("BAD_REQUEST", "The path or a header of the request is malformed."),
        401: (
            "UNAUTHENTICATED",
            f"{said}. Exchange your credential for an endpoint token: POST /api/v1/serving-token.",
        ),
        403: (
            "PERMISSION_DENIED",
            "No such endpoint, or you lack QUERY on it; its owner can grant it.",
        ),
        503: (
            "TEMPORARILY_UNAVAILABLE",
            f"Nothing answers here at the moment: {said}.",
        ),
        504: ("DEADLINE_EXCEEDED", f"No answer in time: {said}."),
    }
    return {
        "mappers": [
            {
                "filter": {
                    "status_code_filter": {
                        "comparison": {
                            "op": "EQ",
                            "value": {
                                "default_value": status,
                                "runtime_key": f"reply.{status}",
                            },
                        }
                    }
                },
                "body_format_override": {
                    "json_format": {"error_code": code, "message": message}
                },
            }
            for status, (code, message) in bodies.items()
        ]
    }
