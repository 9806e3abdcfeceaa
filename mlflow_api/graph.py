"""The few GraphQL queries of MLflow's own pages, each field after our check.

MLflow's schema executes them; before a field of the root is resolved, its parsed
argument goes through the same check as the REST route of the same name. A field
without a rule is refused, and so are mutations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from graphql import GraphQLError, GraphQLResolveInfo, OperationType, parse
from mlflow.protos.model_registry_pb2 import ModelVersion
from mlflow.utils.proto_json_utils import parse_dict

from access.models import User
from core.errors import DomainError, InvalidParameter, PermissionDenied
from core.http import parse_json
from mlflow_api import tracking
from mlflow_api.messages import Message, answer, caller, text
from mlflow_api.rest import version_fields
from registry import listing
from registry.reads import VersionRow

# Field of the root -> the tracking route with the same argument and check.
FIELDS = {
    "mlflowGetExperiment": "experiments/get",
    "mlflowGetRun": "runs/get",
    "mlflowSearchRuns": "runs/search",
    "mlflowGetMetricHistoryBulkInterval": "metrics/get-history-bulk-interval",
}
_BODY = {"query", "variables", "operationName"}
Resolver = Callable[..., Any]


@answer
def graphql(request: HttpRequest) -> HttpResponse:
    """Serve POST /mlflow/graphql."""
    principal = caller(request)
    if request.method != "POST" or request.META.get("QUERY_STRING"):
        raise PermissionDenied("GraphQL takes a POST with a JSON body.")
    body = parse_json(request.body)
    if unknown := set(body) - _BODY:
        raise InvalidParameter(f"{min(unknown)!r} is unknown; send query, variables.")
    return JsonResponse(_execute(principal, body))


def _execute(principal: User, body: Message) -> Message:
    app = tracking.flask_app()
    from mlflow.server.graphql.graphql_no_batching import check_query_safety
    from mlflow.server.graphql.graphql_schema_extensions import schema

    query, variables = text(body, "query"), body.get("variables") or {}
    if not isinstance(variables, dict):
        raise InvalidParameter("variables must be an object.")
    try:
        unsafe = check_query_safety(parse(query, max_tokens=2000))
    except GraphQLError as error:
        raise InvalidParameter(f"query is not GraphQL: {error.message}.") from error
    with app.test_request_context():  # the handlers look for a request
        result = unsafe or schema.execute(
            query,
            variables=variables,
            operation_name=text(body, "operationName", "") or None,
            middleware=[_guard(principal)],
        )
    for problem in result.errors or ():
        if isinstance(problem.original_error, DomainError):
            raise problem.original_error
    messages = [problem.message for problem in result.errors or ()]
    if result.data is None:
        raise InvalidParameter("; ".join(messages) or "query selects nothing.")
    return {"data": result.data, "errors": messages or None}


def _guard(principal: User) -> Resolver:
    """Return the middleware that checks a field of the root before it is resolved."""

    def resolve(
        proceed: Resolver, parent: Any, info: GraphQLResolveInfo, **arguments: Any
    ) -> Any:
        if info.path.prev is None:
            _check_root(principal, info, arguments)
        if info.field_name == "modelVersions":
            return _versions_of(parent.info.run_id, principal)
        return proceed(parent, info, **arguments)

    return resolve


def _check_root(
    principal: User, info: GraphQLResolveInfo, arguments: dict[str, Any]
) -> None:
    route = FIELDS.get(info.field_name)
    if route is None or info.operation.operation != OperationType.QUERY:
        raise PermissionDenied(f"GraphQL {info.field_name} is not served.")
    given = arguments.get("input")
    message = {k: v for k, v in vars(given).items() if v is not None} if given else {}
    method = min(tracking.ROUTES[route])  # each has one
    checked = tracking.check(route, method, message, principal=principal)
    for name in message:
        setattr(given, name, checked[name])


def _versions_of(run_id: str, principal: User) -> list[Any]:
    """Return the versions registered from a run that the principal may see."""
    found = listing.search_versions(
        principal, filter_string=f"run_id = '{run_id}'", max_results=100
    )
    return [_message(row) for row in found.rows]


def _message(row: VersionRow) -> ModelVersion:
    message = ModelVersion()
    parse_dict(version_fields(row), message)
    return message
