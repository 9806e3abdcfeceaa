"""REST of policies, approval requests and callbacks."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.authentication import caller
from access.authz import require_details
from access.models import User
from access.services import get_principal
from approvals import callbacks, reads, services
from approvals.limits import CallbackLimit, DecisionLimit
from approvals.models import ApprovalRequest
from approvals.rendering import (
    check_json,
    decision_json,
    request_detail_json,
    request_json,
)
from approvals.serializers import (
    CallbackSerializer,
    CheckSerializer,
    DecisionSerializer,
    RequestFilterSerializer,
    RequestSerializer,
    RolloutPlanSerializer,
)
from approvals.shapes import (
    ApprovalDetailJson,
    ApprovalsJson,
    CallbackAnswerJson,
    CheckMadeJson,
    DecisionMadeJson,
)
from core.http import read_page_token, sign_page_token
from core.openapi import operation
from core.serializers import SmallJSONParser
from registry import services as registry

_PAGE = "approvals"


class ApprovalList(APIView):
    """List requests, newest first, by what they are about and whose; open one."""

    @operation(
        "List requests, newest first, by state, model, assignee or requester.",
        query=RequestFilterSerializer,
        answer=ApprovalsJson,
    )
    def get(self, request: Request) -> Response:
        asked = RequestFilterSerializer.read(request.query_params)
        rows = _filtered(asked, caller(request))
        found = list(islice(rows, asked["max_results"] + 1))
        page = found[: asked["max_results"]]
        body = {"approvals": [request_json(approval) for approval in page]}
        if len(found) > len(page):
            return Response({**body, "next_page_token": _token_of(page[-1])})
        return Response(body)

    @operation(
        "Ask for an alias to move to a version.",
        body=RequestSerializer,
        answer=ApprovalDetailJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = RequestSerializer.read(request.data)
        model = registry.get_model(data["model"])
        require_details(caller(request), model)
        approval = services.request_alias(
            model,
            data["alias"],
            registry.get_version(model, data["version"]),
            rollout_plan=data["rollout_plan"],
            reason=data["reason"],
            principal=caller(request),
        )
        return Response(request_detail_json(approval), status=201)


class ApprovalDetail(APIView):
    """One request with its decisions, checks and what is missing."""

    @operation(
        "Show a request with its decisions, checks and what is missing.",
        answer=ApprovalDetailJson,
    )
    def get(self, request: Request, request_id: uuid.UUID) -> Response:
        approval = reads.get_request(request_id, principal=caller(request))
        return Response(request_detail_json(approval))


class DecisionList(APIView):
    """Approve or reject a request, for the bytes with the digest given."""

    throttle_classes = (DecisionLimit,)

    @operation(
        "Approve or reject a request, for the bytes with the digest given.",
        body=DecisionSerializer,
        answer=DecisionMadeJson,
        status=201,
        replay=200,
    )
    def post(self, request: Request, request_id: uuid.UUID) -> Response:
        data = DecisionSerializer.read(request.data)
        approval = reads.get_request(request_id, principal=caller(request))
        named = data["on_behalf_of"]
        decision = services.decide(
            approval,
            data["decision"],
            digest=data["digest"],
            binding=data["binding"],
            comment=data["comment"],
            on_behalf_of=get_principal(named) if named else None,
            principal=caller(request),
        )
        approval.refresh_from_db()
        body = decision_json(approval, decision)
        return Response(
            {**body, "request": request_detail_json(approval)},
            status=200 if decision.is_replay else 201,
        )


class DecisionDetail(APIView):
    """Take back one's own decision while the request is pending."""

    @operation(
        "Take back your own decision while the request is pending.",
        answer=DecisionMadeJson,
    )
    def delete(
        self, request: Request, request_id: uuid.UUID, decision_id: uuid.UUID
    ) -> Response:
        approval = reads.get_request(request_id, principal=caller(request))
        decision = reads.get_decision(approval, decision_id)
        revoked = services.revoke_decision(decision, principal=caller(request))
        approval.refresh_from_db()
        body = decision_json(approval, revoked)
        return Response({**body, "request": request_detail_json(approval)})


class RolloutPlan(APIView):
    """Change the plan of one's own request; every decision is struck out."""

    @operation(
        "Change the rollout plan of your request; decisions are struck out.",
        body=RolloutPlanSerializer,
        answer=ApprovalDetailJson,
    )
    def put(self, request: Request, request_id: uuid.UUID) -> Response:
        data = RolloutPlanSerializer.read(request.data)
        approval = reads.get_request(request_id, principal=caller(request))
        changed = services.edit_plan(
            approval, data["rollout_plan"], principal=caller(request)
        )
        return Response(request_detail_json(changed))


class CheckList(APIView):
    """Report the result of an automated check."""

    throttle_classes = (DecisionLimit,)

    @operation(
        "Report the result of an automated check.",
        body=CheckSerializer,
        answer=CheckMadeJson,
        status=201,
    )
    def post(self, request: Request, request_id: uuid.UUID) -> Response:
        data = CheckSerializer.read(request.data)
        approval = reads.get_request(request_id, principal=caller(request))
        check = services.report_check(
            approval, data.pop("name"), **data, principal=caller(request)
        )
        approval.refresh_from_db()
        body = check_json(check)
        return Response({**body, "request": request_detail_json(approval)}, status=201)


class Cancellation(APIView):
    """Withdraw a request."""

    @operation("Withdraw a request.", answer=ApprovalDetailJson)
    def post(self, request: Request, request_id: uuid.UUID) -> Response:
        approval = reads.get_request(request_id, principal=caller(request))
        cancelled = services.cancel(approval, principal=caller(request))
        return Response(request_detail_json(cancelled))


class CallbackAnswer(APIView):
    """Answer by a one-time token: its possession is the credential."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = (CallbackLimit,)
    parser_classes = (SmallJSONParser,)

    @operation(
        "Answer a request by the one-time token of a webhook.",
        body=CallbackSerializer,
        answer=CallbackAnswerJson,
    )
    def post(self, request: Request, token: str) -> Response:
        data = CallbackSerializer.read(request.data)
        return Response(callbacks.answer(token, callbacks.Answer(**data)))


def _filtered(asked: dict[str, Any], principal: User) -> Iterable[ApprovalRequest]:
    rows = reads.visible_requests(principal)
    if asked["state"]:
        rows = rows.filter(status=asked["state"])
    if asked["model"]:
        rows = rows.filter(model__full_name=asked["model"])
    if asked["requester"]:
        rows = rows.filter(requester=principal)
    if asked["page_token"]:
        rows = rows.filter(_after(asked["page_token"]))
    if asked["assignee"]:
        return reads.requests_waiting_for(principal, rows)
    return rows


def _token_of(approval: ApprovalRequest) -> str:
    key = [approval.opened_at.isoformat(), str(approval.id)]
    return sign_page_token(key, purpose=_PAGE)


def _after(page_token: str) -> Q:
    opened_at, request_id = read_page_token(page_token, purpose=_PAGE)
    moment = dt.datetime.fromisoformat(opened_at)
    return Q(opened_at__lt=moment) | Q(opened_at=moment, id__lt=uuid.UUID(request_id))
