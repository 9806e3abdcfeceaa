"""REST of policies."""

from __future__ import annotations

import uuid

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access.authentication import caller
from access.authz import require_details
from access.securables import Securable, find_securable
from approvals import reads, services
from approvals.models import Policy
from approvals.policies import policy_json, scope_field
from approvals.policy_serializers import (
    PolicyFilterSerializer,
    PolicySerializer,
    RetirementSerializer,
    SimulationSerializer,
    draft_of,
)
from approvals.shapes import (
    PoliciesJson,
    PolicyDetailJson,
    PolicyJson,
    PolicyReplayJson,
    ReplayedJson,
)
from approvals.simulation import Outcome, simulate_policy
from core.openapi import operation


class PolicyList(APIView):
    """List the policies one sees; protect the aliases of a scope."""

    @operation(
        "List the policies that you see, of one scope or of all.",
        query=PolicyFilterSerializer,
        answer=PoliciesJson,
    )
    def get(self, request: Request) -> Response:
        asked = PolicyFilterSerializer.read(request.query_params)
        rows = reads.visible_policies(caller(request)).order_by("-created_at")
        if asked["full_name"]:
            scope = find_securable(asked["securable_type"], asked["full_name"])
            require_details(caller(request), scope)
            rows = rows.filter(**{scope_field(scope): scope})
        found = reads.only_in_force(rows) if asked["in_force"] else list(rows)
        return Response({"policies": [policy_json(policy) for policy in found]})

    @operation(
        "Protect the aliases of a scope; the next number replaces the one before.",
        body=PolicySerializer,
        answer=PolicyJson,
        status=201,
    )
    def post(self, request: Request) -> Response:
        data = PolicySerializer.read(request.data)
        policy = services.put_policy(
            _scope(data),
            draft_of(data),
            after=data["after"],
            principal=caller(request),
        )
        return Response(policy_json(policy), status=201)


class PolicyDetail(APIView):
    """One number of a policy, with the others."""

    @operation("Show a policy with all its numbers.", answer=PolicyDetailJson)
    def get(self, request: Request, policy_id: uuid.UUID) -> Response:
        policy = reads.get_policy(policy_id, principal=caller(request))
        return Response(_detail_json(policy))


class Retirement(APIView):
    """End a policy by a last number that says so."""

    @operation(
        "End a policy by a last number that says so.",
        body=RetirementSerializer,
        answer=PolicyJson,
        status=201,
    )
    def post(self, request: Request, policy_id: uuid.UUID) -> Response:
        data = RetirementSerializer.read(request.data)
        policy = reads.get_policy(policy_id, principal=caller(request))
        ended = services.retire_policy(
            policy, note=data["note"], principal=caller(request)
        )
        return Response(policy_json(ended), status=201)


class Simulation(APIView):
    """Replay past requests under a draft; nothing is written."""

    @operation(
        "Replay past requests under a draft of a policy.",
        body=SimulationSerializer,
        answer=PolicyReplayJson,
    )
    def post(self, request: Request) -> Response:
        data = SimulationSerializer.read(request.data)
        replay = simulate_policy(
            _scope(data),
            draft_of(data),
            last=data["last"],
            principal=caller(request),
        )
        body: PolicyReplayJson = {
            "replayed": len(replay.outcomes),
            "differing": replay.differing,
            "outcomes": [_outcome_json(outcome) for outcome in replay.outcomes],
        }
        return Response(body)


def _scope(data: dict[str, str]) -> Securable:
    return find_securable(data["securable_type"], data["full_name"])


def _detail_json(policy: Policy) -> PolicyDetailJson:
    numbers = list(reads.numbers_of(policy))
    return {
        **policy_json(policy),
        "in_force": policy == numbers[0] and not policy.is_retired,
        "numbers": [policy_json(one) for one in numbers],
    }


def _outcome_json(outcome: Outcome) -> ReplayedJson:
    approval = outcome.approval
    return {
        "request_id": str(approval.id),
        "model": approval.model.full_name,
        "alias": approval.alias,
        "version": approval.version.number,
        "opened_at": approval.opened_at,
        "actual": outcome.actual,
        "actual_at": outcome.actual_at,
        "would": outcome.would,
        "would_at": outcome.would_at,
        "differs": outcome.differs,
        "why": outcome.why,
    }
