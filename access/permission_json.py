"""What the REST of grants answers."""

from __future__ import annotations

from access.authz import Requirement
from access.explanations import Explanation, Needed, Source
from access.models import AccessRequest
from access.privileges import Privilege
from access.shapes import (
    AccessRequestJson,
    CouldJson,
    DifferenceJson,
    ExplanationJson,
    NeededJson,
    RequirementJson,
    SimulationJson,
    SourceJson,
    ToxicJson,
)
from access.simulation import Difference, Simulation
from access.toxic import ToxicPair
from access.who_could import Could


def requirement_json(requirement: Requirement) -> RequirementJson:
    return {
        "privilege": requirement.privilege.label,
        "securable_type": requirement.securable_type,
        "full_name": requirement.full_name,
        "met": requirement.met,
        "who_can_grant": list(requirement.who_can_grant),
    }


def explanation_json(explanation: Explanation) -> ExplanationJson:
    return {
        "allowed": explanation.is_allowed,
        "principal": explanation.principal,
        "operation": explanation.operation.name,
        "code": explanation.operation.code,
        "words": explanation.operation.words,
        "conditions": list(explanation.operation.conditions),
        "securable_type": explanation.securable_type,
        "full_name": explanation.full_name,
        "requirements": [needed_json(need) for need in explanation.requirements],
        "ways": [[needed_json(need) for need in way] for way in explanation.ways],
    }


def needed_json(need: Needed) -> NeededJson:
    return {
        "needs": need.what,
        "securable_type": need.securable_type,
        "full_name": need.full_name,
        "met": need.met,
        "sources": [source_json(source) for source in need.sources],
        "who_can_grant": list(need.who_can_grant),
    }


def source_json(source: Source) -> SourceJson:
    return {
        "privilege": source.privilege,
        "securable_type": source.securable_type,
        "full_name": source.full_name,
        "holder": source.holder,
        "through": list(source.through),
        "inherited": source.is_inherited,
        "expires_at": source.expires_at,
    }


def could_json(could: Could) -> CouldJson:
    return {
        "principal": could.principal,
        "kind": could.kind,
        "may_now": could.may_now,
        "by_breaking_glass": could.by_breaking_glass,
        "sources": [source_json(source) for source in could.sources],
    }


def toxic_json(pair: ToxicPair) -> ToxicJson:
    return {
        "rule": pair.rule,
        "principal": pair.principal,
        "full_name": pair.full_name,
        "message": f"{pair.principal} {pair.words}.",
    }


def difference_json(difference: Difference) -> DifferenceJson:
    return {
        "principal": difference.principal,
        "securable_type": difference.securable_type,
        "full_name": difference.full_name,
        "gains": list(difference.gains),
        "loses": list(difference.loses),
    }


def simulation_json(simulation: Simulation) -> SimulationJson:
    return {
        "differences": [difference_json(one) for one in simulation.differences],
        "warnings": [toxic_json(pair) for pair in simulation.warnings],
        "objects": simulation.objects,
        "principals": simulation.principals,
        "truncated": simulation.is_truncated,
    }


def access_request_json(row: AccessRequest) -> AccessRequestJson:
    return {
        "id": str(row.id),
        "requester": row.requester.username,
        "securable_type": row.securable_type,
        "object": row.full_name,
        "privileges": [Privilege(value).label for value in row.privileges],
        "reason": row.reason,
        "status": row.status,
        "requested_at": row.requested_at,
        "answered_by": row.answered_by.username if row.answered_by else None,
        "answered_at": row.answered_at,
        "answer": row.answer,
    }
