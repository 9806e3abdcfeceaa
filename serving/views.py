"""REST of endpoints and rollouts, and the exchange for an endpoint token."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access import services as access
from access.authentication import caller
from access.authz import is_browse_only, require_details
from access.models import User
from core.errors import NotFound, unseen
from core.openapi import operation
from registry import services as registry
from serving import services
from serving.models import Endpoint, Rollout
from serving.serializers import (
    CreateEndpointSerializer,
    ReasonSerializer,
    browsed_json,
    endpoint_detail_json,
    endpoints_json,
    rollout_json,
)
from serving.shapes import (
    EndpointDetailJson,
    EndpointsJson,
    RolloutJson,
    ServingTokenJson,
)
from serving.tokens import issue_serving_token


class EndpointList(APIView):
    """List the endpoints one sees; create one that follows an alias."""

    @operation("List the endpoints that you see.", answer=EndpointsJson)
    def get(self, request: Request) -> Response:
        rows = services.visible_endpoints(caller(request)).order_by("full_name")
        return Response({"endpoints": endpoints_json(list(rows), caller(request))})

    @operation(
        "Create an endpoint that follows an alias.",
        body=CreateEndpointSerializer,
        answer=EndpointDetailJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = CreateEndpointSerializer.read(request.data)
        endpoint = services.create_endpoint(
            data["name"],
            registry.get_model(data["model"]),
            data["alias"],
            plan=data.get("plan"),
            run_as=access.get_account(data["run_as"]) if "run_as" in data else None,
            principal=caller(request),
        )
        return Response(endpoint_detail_json(endpoint), status=201)


class EndpointDetail(APIView):
    """An endpoint: set and seen weights, servers, the active rollout."""

    @operation(
        "Show an endpoint with its traffic as set and as seen.",
        answer=EndpointDetailJson,
    )
    def get(self, request: Request, full_name: str) -> Response:
        """To who only browses, `browse_only` is true and nothing of traffic shown."""
        endpoint = _endpoint(full_name, caller(request))
        if is_browse_only(caller(request), endpoint):
            return Response(browsed_json(endpoint))
        return Response(endpoint_detail_json(endpoint))


class EndpointRollback(APIView):
    """Return to the version before, without a canary."""

    @operation(
        "Return to the version before, without a canary.",
        body=ReasonSerializer,
        answer=RolloutJson,
        status=201,
    )
    def post(self, request: Request, full_name: str) -> Response:
        rollout = services.rollback(
            _endpoint_in_detail(full_name, caller(request)),
            reason=ReasonSerializer.read(request.data)["reason"],
            principal=caller(request),
        )
        return Response(rollout_json(rollout), status=201)


class RolloutDetail(APIView):
    """A rollout: its steps and where it stands."""

    @operation("Show a rollout: its steps and where it stands.", answer=RolloutJson)
    def get(self, request: Request, rollout_id: uuid.UUID) -> Response:
        return Response(rollout_json(_rollout(rollout_id, caller(request))))


class RolloutCommand(APIView):
    """Steer a rollout: promote, promote-full, pause, resume or abort."""

    COMMANDS: dict[str, Callable[..., Rollout]] = {
        "promote": services.promote,
        "promote-full": services.promote_full,
        "pause": services.pause,
        "resume": services.resume,
        "abort": services.abort,
    }

    @operation(
        "Steer a rollout: promote, promote-full, pause, resume or abort.",
        answer=RolloutJson,
    )
    def post(self, request: Request, rollout_id: uuid.UUID, command: str) -> Response:
        if command not in self.COMMANDS:
            known = ", ".join(self.COMMANDS)
            raise NotFound(f"No command {command!r}; there are {known}.")
        rollout = _rollout(rollout_id, caller(request))
        return Response(
            rollout_json(self.COMMANDS[command](rollout, principal=caller(request)))
        )


class ServingToken(APIView):
    """Exchange any platform credential for a token that endpoints take."""

    @operation(
        "Exchange any credential for a token that endpoints take.",
        answer=ServingTokenJson,
    )
    def post(self, request: Request) -> Response:
        issued = issue_serving_token(caller(request))
        return Response({"token": issued.token, "expires_at": issued.expires_at})


def _endpoint(full_name: str, principal: User) -> Endpoint:
    found = services.visible_endpoints(principal).filter(full_name=full_name).first()
    if found is None:
        raise unseen("endpoint", full_name)
    return found


def _endpoint_in_detail(full_name: str, principal: User) -> Endpoint:
    found = _endpoint(full_name, principal)
    require_details(principal, found)
    return found


def _rollout(rollout_id: uuid.UUID, principal: User) -> Rollout:
    rollout = services.get_rollout(rollout_id)
    _endpoint_in_detail(rollout.endpoint.full_name, principal)
    return rollout
