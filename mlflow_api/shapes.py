"""The types of a message's fields, as MLflow's own protocol declares them.

MLflow's handlers pass over a value of the wrong type and go on with what they could
read until then; a run would be made without its time, a search without its filter.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError

from core.errors import InvalidParameter
from mlflow_api.messages import Message


def check_types(route: str, method: str, message: Message) -> None:
    """Raise InvalidParameter for a value that its field cannot hold."""
    declared = _declared().get((method, route))
    if declared is None or method == "GET":  # in a query everything is text
        return
    try:
        ParseDict(message, declared(), ignore_unknown_fields=True)
    except ParseError as error:
        raise InvalidParameter(f"A parameter has the wrong type: {error}") from error


@cache
def _declared() -> dict[tuple[str, str], Any]:
    """Return the message class of each method and route of MLflow's tracking service."""
    from google.protobuf.message_factory import GetMessageClass
    from mlflow.protos import databricks_pb2
    from mlflow.protos.service_pb2 import MlflowService

    return {
        (endpoint.method, _route(endpoint.path)): GetMessageClass(method.input_type)
        for method in MlflowService.DESCRIPTOR.methods
        for endpoint in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints
    }


def _route(path: str) -> str:
    return re.sub(r"{(\w+)}", r"<\1>", path.lstrip("/").removeprefix("mlflow/"))
