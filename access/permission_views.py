"""REST of grants: list and change them, explain, simulate, who could, ownership."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access import services
from access.authentication import caller
from access.authz import explain, require_known
from access.explanations import explain as explain_operation
from access.models import User
from access.operations import BY_NAME
from access.permission_json import (
    access_request_json,
    could_json,
    explanation_json,
    requirement_json,
    simulation_json,
    toxic_json,
)
from access.permission_serializers import (
    AccessRequestSerializer,
    AnswerSerializer,
    ChangesSerializer,
    DeclineSerializer,
    ExplainSerializer,
    OwnerSerializer,
    PageSerializer,
    SimulateSerializer,
    WhoCouldSerializer,
)
from access.privileges import parse_privilege
from access.securables import Securable, find_securable, type_of_name
from access.shapes import (
    AccessRequestJson,
    AccessRequestsJson,
    AnyExplanationJson,
    ChangedGrantsJson,
    GrantsJson,
    OwnerJson,
    SimulationJson,
    WhoCouldJson,
)
from access.simulation import Change, Touched, simulate, touched_by
from access.toxic import toxic_pairs
from access.ways import require_able
from access.who_could import who_could
from core.openapi import operation

_MAX_COULD = 1000


class Permissions(APIView):
    """The direct grants on a securable; change them all or none."""

    @operation("List the direct grants on a securable.", answer=GrantsJson)
    def get(self, request: Request, securable_type: str, full_name: str) -> Response:
        securable = find_securable(securable_type, full_name)
        grants = services.list_grants(securable, principal=caller(request))
        return Response({"grants": grants})

    @operation(
        "Change grants, all or none.", body=ChangesSerializer, answer=ChangedGrantsJson
    )
    def patch(self, request: Request, securable_type: str, full_name: str) -> Response:
        securable = find_securable(securable_type, full_name)
        require_able(caller(request), "change_grants", securable)
        changes = ChangesSerializer.read(request.data)["changes"]
        touched = _touched(securable, changes)
        before = toxic_pairs(touched.matrix())
        services.change_grants(securable, changes, principal=caller(request))
        new = sorted(toxic_pairs(touched.matrix()) - before)
        grants = services.list_grants(securable, principal=caller(request))
        return Response({"grants": grants, "warnings": [toxic_json(p) for p in new]})


def _touched(securable: Securable, changes: list[dict[str, Any]]) -> Touched:
    holders = [services.get_principal(change["principal"]) for change in changes]
    return touched_by([Change("grant", who, securable) for who in holders])


class Explain(APIView):
    """Why a principal may, or may not, do something with a securable.

    About oneself anybody may ask, about others who may see the grants.
    """

    @operation(
        "Explain why a principal may, or may not.",
        body=ExplainSerializer,
        answer=AnyExplanationJson,
    )
    def post(self, request: Request) -> Response:
        data = ExplainSerializer.read(request.data)
        securable = find_securable(_type_of(data), data["object"])
        subject = services.get_principal(data["principal"])
        if subject != caller(request):
            require_able(caller(request), "see_effective", securable)
        else:
            require_known(subject, securable)
        if data["operation"]:
            found = explain_operation(subject, data["operation"], securable)
            return Response(explanation_json(found))
        return Response(_of_privilege(subject, data["privilege"], securable))


def _type_of(data: dict[str, Any]) -> str:
    """Return the type of the object that is asked about, guessed if not given."""
    given: str = data["securable_type"]
    operation = BY_NAME.get(data.get("operation", ""))
    if given or operation is None or len(operation.kinds) > 1:
        return given or type_of_name(data["object"])
    return operation.kinds[0]


def _of_privilege(subject: User, text: str, securable: Securable) -> dict[str, Any]:
    privilege = parse_privilege(text, securable._meta.model_name or "")
    requirements = explain(subject, privilege, securable)
    return {
        "allowed": all(requirement.met for requirement in requirements),
        "requirements": [requirement_json(r) for r in requirements],
    }


class WhoCould(APIView):
    """Everybody who could do an operation on an object, and by which path."""

    @operation(
        "List everybody who could do an operation.",
        body=WhoCouldSerializer,
        answer=WhoCouldJson,
    )
    def post(self, request: Request) -> Response:
        data = WhoCouldSerializer.read(request.data)
        securable = find_securable(_type_of(data), data["object"])
        require_able(caller(request), "see_effective", securable)
        found = who_could(data["operation"], securable)
        shown = [could_json(one) for one in found[:_MAX_COULD]]
        return Response({"principals": shown, "truncated": len(found) > _MAX_COULD})


class Simulate(APIView):
    """Who would gain or lose what by a list of changes; nothing is written."""

    @operation(
        "Tell what changes would do.", body=SimulateSerializer, answer=SimulationJson
    )
    def post(self, request: Request) -> Response:
        data = SimulateSerializer.read(request.data)
        changes = [_change(one) for one in data["changes"]]
        found = simulate(changes, principal=caller(request))
        return Response(simulation_json(found))


def _change(data: dict[str, Any]) -> Change:
    name = data["object"]
    kind = data["securable_type"] or type_of_name(name)
    return Change(
        verb=data["change"],
        who=services.get_principal(data["principal"]),
        securable=find_securable(kind, name) if name else None,
        privilege=data["privilege"],
        expires_at=data["expires_at"],
        group=services.get_group(data["group"]) if data["group"] else None,
    )


class Owner(APIView):
    """Make another principal the owner."""

    @operation("Transfer ownership.", body=OwnerSerializer, answer=OwnerJson)
    def put(self, request: Request, securable_type: str, full_name: str) -> Response:
        data = OwnerSerializer.read(request.data)
        securable = find_securable(securable_type, full_name)
        require_able(caller(request), "transfer_ownership", securable)
        services.transfer_ownership(
            securable, services.get_principal(data["owner"]), principal=caller(request)
        )
        return Response({"full_name": securable.full_name, "owner": data["owner"]})


class AccessRequestList(APIView):
    """One's requests for access, and those one may answer; ask."""

    @operation(
        "List requests for access.", query=PageSerializer, answer=AccessRequestsJson
    )
    def get(self, request: Request) -> Response:
        size = PageSerializer.read(request.query_params)["max_results"]
        rows = services.visible_access_requests(principal=caller(request))[:size]
        return Response({"access_requests": [access_request_json(r) for r in rows]})

    @operation(
        "Ask for access.",
        body=AccessRequestSerializer,
        answer=AccessRequestJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = AccessRequestSerializer.read(request.data)
        made = services.request_access(
            data["securable_type"] or type_of_name(data["object"]),
            data["object"],
            data["privileges"],
            reason=data["reason"],
            principal=caller(request),
        )
        return Response(access_request_json(made), status=201)


class AccessRequestGrant(APIView):
    """Grant what a request asks for."""

    @operation("Grant access.", body=AnswerSerializer, answer=AccessRequestJson)
    def post(self, request: Request, request_id: UUID) -> Response:
        data = AnswerSerializer.read(request.data)
        asked = services.get_access_request(request_id, principal=caller(request))
        services.grant_request(asked, **data, principal=caller(request))
        return Response(access_request_json(asked))


class AccessRequestDecline(APIView):
    """Decline a request."""

    @operation("Decline access.", body=DeclineSerializer, answer=AccessRequestJson)
    def post(self, request: Request, request_id: UUID) -> Response:
        data = DeclineSerializer.read(request.data)
        asked = services.get_access_request(request_id, principal=caller(request))
        services.decline_request(asked, **data, principal=caller(request))
        return Response(access_request_json(asked))


class AccessRequestWithdraw(APIView):
    """Withdraw one's own request."""

    @operation("Withdraw a request for access.", answer=AccessRequestJson)
    def post(self, request: Request, request_id: UUID) -> Response:
        asked = services.get_access_request(request_id, principal=caller(request))
        services.withdraw_request(asked, principal=caller(request))
        return Response(access_request_json(asked))
