"""What the REST of approvals answers."""

from __future__ import annotations

import datetime as dt
from typing import Any, NotRequired, TypedDict


class ReviewerRuleJson(TypedDict):
    """How many of whom must approve; nobody by name is whoever holds APPROVE."""

    needed: int
    principals: list[str]


class CheckRuleJson(TypedDict):
    """A check that must be green; null is of any age, and by anybody that may."""

    name: str
    max_age_seconds: int | None
    reporter: str | None


class BypassJson(TypedDict):
    """Who may go past a policy besides admins, and how they must say why."""

    principals: list[str]
    min_reason_length: int
    ticket_pattern: str


class PolicyJson(TypedDict):
    """What it takes to move an alias that fits the pattern."""

    id: str
    securable_type: str
    full_name: str
    alias_pattern: str
    number: int
    approvals_needed: int
    reviewers: list[str]
    rules: list[ReviewerRuleJson]
    distinct_reviewers: bool
    rejects_needed: int
    checks: list[CheckRuleJson]
    metrics: list[str]
    wait_seconds: int
    expires_after_seconds: int
    freezes: list[dict[str, Any]]
    cooling_seconds: int
    callback_may_approve: bool
    bypass: BypassJson
    rollout_plan: dict[str, Any]
    is_retired: bool
    note: str
    created_by: str
    created_at: str


class PoliciesJson(TypedDict):
    """The policies that one sees."""

    policies: list[PolicyJson]


class LinksJson(TypedDict):
    """Where a request is looked at, and decided."""

    review: str
    decide: str


class ApprovalJson(TypedDict):
    """The wish to move an alias to a version, bound to the digest of its bytes."""

    id: str
    model: str
    alias: str
    version: int
    digest: str
    previous: int | None
    status: str
    requested_by: str
    reason: str
    opened_at: dt.datetime
    expires_at: dt.datetime
    closed_at: dt.datetime | None
    closing_reason: str
    links: LinksJson


class ApprovalsJson(TypedDict):
    """A page of requests, newest first."""

    approvals: list[ApprovalJson]
    next_page_token: NotRequired[str]


class DecisionJson(TypedDict):
    """What one approver said; `counts` only while the request is open."""

    id: str
    decision: str
    approver: str | None
    comment: str
    digest: str
    via: str
    decided_at: dt.datetime
    counts: bool | None


class CheckJson(TypedDict):
    """The latest report of one automated check."""

    name: str
    passed: bool
    comment: str
    details_url: str
    evidence: dict[str, Any]
    reported_by: str | None
    via: str
    reported_at: dt.datetime


class ApprovalDetailJson(ApprovalJson):
    """A request with what is missing in words, its decisions and checks."""

    unmet: list[str]
    policies: list[PolicyJson]
    decisions: list[DecisionJson]
    checks: list[CheckJson]


class DecisionMadeJson(DecisionJson):
    """A decision, and the request after it."""

    request: ApprovalDetailJson


class CheckMadeJson(CheckJson):
    """A report, and the request after it."""

    request: ApprovalDetailJson


class CallbackAnswerJson(TypedDict):
    """What a callback did; a replay is answered the same."""

    request_id: str
    state: str
    status: str
    unmet: list[str]


class AliasThenJson(TypedDict):
    """Where an alias pointed at a moment."""

    alias: str
    as_of: dt.datetime
    version: int | None
    digest: str | None
    generation: int
    set_at: dt.datetime
    set_by: str


class MoveJson(TypedDict):
    """A move of an alias; `until` null is to this day, `version` null a deletion."""

    generation: int
    version: int | None
    digest: str | None
    previous: int | None
    moved_at: dt.datetime
    until: dt.datetime | None
    moved_by: str
    approval_request: str | None
    event_id: str


class MovesJson(TypedDict):
    """A page of the moves of an alias, the latest first."""

    moves: list[MoveJson]
    next_page_token: NotRequired[str]
