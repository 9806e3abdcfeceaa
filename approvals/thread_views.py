"""REST of what surrounds a request: its thread, its timeline, and delegations."""

from __future__ import annotations

import uuid

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.authentication import caller
from access.services import get_principal
from approvals import reads, services
from approvals.rendering import comment_json, delegation_json, timeline_entry_json
from approvals.serializers import (
    DelegationSerializer,
    PageQuerySerializer,
    RequestCommentSerializer,
)
from approvals.shapes import (
    CommentJson,
    CommentsJson,
    DelegationJson,
    DelegationsJson,
    TimelineJson,
)
from core.http import read_page_token, sign_page_token
from core.openapi import operation


class CommentList(APIView):
    """The thread of a request; add to it."""

    @operation("List the comments on a request, the oldest first.", answer=CommentsJson)
    def get(self, request: Request, request_id: uuid.UUID) -> Response:
        approval = reads.get_request(request_id, principal=caller(request))
        rows = approval.comments.select_related("author")
        return Response({"comments": [comment_json(one) for one in rows]})

    @operation(
        "Comment on a request, as requester, reviewer or with MANAGE.",
        body=RequestCommentSerializer,
        answer=CommentJson,
        status=201,
    )
    def post(self, request: Request, request_id: uuid.UUID) -> Response:
        data = RequestCommentSerializer.read(request.data)
        approval = reads.get_request(request_id, principal=caller(request))
        comment = services.comment_on(approval, data["text"], principal=caller(request))
        return Response(comment_json(comment), status=201)


class Timeline(APIView):
    """What happened to a request."""

    @operation(
        "List what happened to a request, the oldest first.",
        query=PageQuerySerializer,
        answer=TimelineJson,
    )
    def get(self, request: Request, request_id: uuid.UUID) -> Response:
        asked = PageQuerySerializer.read(request.query_params)
        approval = reads.get_request(request_id, principal=caller(request))
        rows, purpose = reads.events_of(approval), f"timeline:{approval.pk}"
        if asked["page_token"]:
            last = read_page_token(asked["page_token"], purpose=purpose)
            rows = rows.filter(sequence__gt=last)
        found = list(rows[: asked["max_results"] + 1])
        page = found[: asked["max_results"]]
        body = {"events": [timeline_entry_json(event) for event in page]}
        if len(found) > len(page):
            token = sign_page_token(page[-1].sequence, purpose=purpose)
            return Response({**body, "next_page_token": token})
        return Response(body)


class DelegationList(APIView):
    """The delegations that one gave or got; delegate one's approvals."""

    @operation(
        "List the delegations that you gave or got, the newest first.",
        answer=DelegationsJson,
    )
    def get(self, request: Request) -> Response:
        rows = services.visible_delegations(principal=caller(request))
        return Response({"delegations": [delegation_json(one) for one in rows]})

    @operation(
        "Let another person decide on your behalf for a period.",
        body=DelegationSerializer,
        answer=DelegationJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = DelegationSerializer.read(request.data)
        delegation = services.delegate_approvals(
            get_principal(data.pop("delegate")), **data, principal=caller(request)
        )
        return Response(delegation_json(delegation), status=201)


class DelegationDetail(APIView):
    """End a delegation."""

    @operation("End a delegation at once, as either party.", answer=DelegationJson)
    def delete(self, request: Request, delegation_id: uuid.UUID) -> Response:
        found = services.get_delegation(delegation_id, principal=caller(request))
        ended = services.revoke_delegation(found, principal=caller(request))
        return Response(delegation_json(ended))
