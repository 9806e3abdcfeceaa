"""REST of aliases: where they point, pointed, and shall point.

It stands here because only `approvals.services` moves an alias.
"""

from __future__ import annotations

import datetime as dt
import uuid

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.authentication import caller
from access.authz import require_details
from access.models import User
from approvals import reads, services
from approvals.models import RequestStatus
from approvals.serializers import (
    AliasQuerySerializer,
    AliasSerializer,
    BreakGlassSerializer,
    HistoryQuerySerializer,
    alias_then_json,
    move_json,
)
from approvals.shapes import MoveJson, MovesJson
from core.errors import NotFound
from core.http import read_page_token, sign_page_token
from core.openapi import operation
from registry import history
from registry import services as registry
from registry.models import Alias, AliasMove, RegisteredModel
from registry.serializers import alias_json
from registry.shapes import AliasesJson, AliasJson


class AliasList(APIView):
    """The aliases of a model."""

    @operation("List the aliases of a model.", answer=AliasesJson)
    def get(self, request: Request, full_name: str) -> Response:
        rows = Alias.objects.filter(model=_model(full_name, request))
        present = rows.exclude(version=None).select_related("version", "set_by")
        return Response({"aliases": [alias_json(a) for a in present.order_by("name")]})


class AliasDetail(APIView):
    """One alias, now or as of a moment; move it, or ask to; delete it."""

    @operation(
        "Show where an alias points, or pointed at a moment.",
        query=AliasQuerySerializer,
        answer=AliasJson,
    )
    def get(self, request: Request, full_name: str, alias: str) -> Response:
        moment = AliasQuerySerializer.read(request.query_params)["as_of"]
        model = _model(full_name, request)
        if moment:
            move = history.alias_as_of(model, alias, moment)
            return Response(alias_then_json(move, moment))
        return Response(alias_json(_alias(model, alias)))

    @operation(
        "Point an alias at a version; on a protected one 403 names the request.",
        body=AliasSerializer,
        answer=AliasJson,
    )
    def put(self, request: Request, full_name: str, alias: str) -> Response:
        data = AliasSerializer.read(request.data)
        model = _model(full_name, request)
        version = registry.get_version(model, data["version"])
        moved = services.set_alias(
            model, alias, version, reason=data["reason"], principal=caller(request)
        )
        return Response(alias_json(moved))

    @operation("Delete an alias that no policy protects.", status=204)
    def delete(self, request: Request, full_name: str, alias: str) -> Response:
        model = _model(full_name, request)
        services.delete_alias(model, alias, principal=caller(request))
        return Response(status=204)


class BreakGlass(APIView):
    """Set an alias at once, past its policy: for admins and whom it lists."""

    @operation(
        "Set an alias at once, past its policy, with a reason.",
        body=BreakGlassSerializer,
        answer=AliasJson,
    )
    def post(self, request: Request, full_name: str, alias: str) -> Response:
        data = BreakGlassSerializer.read(request.data)
        model = _model(full_name, request)
        moved = services.break_glass(
            model,
            alias,
            registry.get_version(model, data["version"]),
            reason=data["reason"],
            ticket=data["ticket"],
            principal=caller(request),
        )
        return Response(alias_json(moved))


class AliasHistory(APIView):
    """Every move of an alias, the latest first."""

    @operation(
        "List every move of an alias, the latest first.",
        query=HistoryQuerySerializer,
        answer=MovesJson,
    )
    def get(self, request: Request, full_name: str, alias: str) -> Response:
        asked = HistoryQuerySerializer.read(request.query_params)
        model = _model(full_name, request)
        moves = history.moves_of_alias(model, alias)
        until = None
        purpose = f"alias:{model.pk}"
        if asked["page_token"]:
            last, until = read_page_token(asked["page_token"], purpose=purpose)
            moves = moves.filter(generation__lt=last)
        page = list(moves[: asked["max_results"] + 1])
        if not page and until is None:
            raise NotFound(f"{model.full_name} never had an alias {alias}.")
        shown = page[: asked["max_results"]]
        body = {"moves": _moves_json(shown, until, caller(request))}
        if len(page) > len(shown):
            key = [shown[-1].generation, shown[-1].moved_at.isoformat()]
            return Response(
                {**body, "next_page_token": sign_page_token(key, purpose=purpose)}
            )
        return Response(body)


def _model(full_name: str, request: Request) -> RegisteredModel:
    model = registry.get_model(full_name)
    require_details(caller(request), model)
    return model


def _alias(model: RegisteredModel, name: str) -> Alias:
    found = registry.get_alias(model, name)
    if found is None or found.version is None:
        raise NotFound(f"{model.full_name} has no alias {name}.")
    return found


def _moves_json(
    moves: list[AliasMove], until: str | None, principal: User
) -> list[MoveJson]:
    """Render moves with the time at which the next one ended each."""
    ends = [dt.datetime.fromisoformat(until) if until else None]
    ends += [move.moved_at for move in moves]
    requests = _requests(moves, principal)
    bypasses = reads.bypasses_of([move.alias for move in moves[:1]])
    return [
        move_json(
            move, end, requests.get(move.generation), bypasses.get(move.generation)
        )
        for move, end in zip(moves, ends, strict=False)
    ]


def _requests(moves: list[AliasMove], principal: User) -> dict[int, uuid.UUID]:
    """Return which move was made by which request, of those one may see."""
    if not moves:
        return {}
    alias = moves[0].alias
    applied = reads.visible_requests(principal).filter(
        model=alias.model_id, alias__iexact=alias.name, status=RequestStatus.APPLIED
    )
    rows = applied.values_list("alias_generation", "id")
    return {generation + 1: request_id for generation, request_id in rows}
