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


class MetricDeltaJson(TypedDict):
    """One metric of candidate and champion; NaN and infinities are strings."""

    name: str
    candidate: float | str | None
    champion: float | str | None
    delta: float | str | None


class ParameterDiffJson(TypedDict):
    """One parameter of candidate and champion."""

    name: str
    candidate: str | None
    champion: str | None
    differs: bool


class SignatureDiffJson(TypedDict):
    """Columns that came, went or changed, as `side name: type`."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class EvidenceDatasetJson(TypedDict):
    """Data that a version was made from."""

    name: str
    digest: str
    source: str


class EvidenceDatasetsJson(TypedDict):
    """The data of both sides."""

    candidate: list[EvidenceDatasetJson]
    champion: list[EvidenceDatasetJson]


class EvidenceSideJson(TypedDict):
    """What one side of the comparison is."""

    version: int
    digest: str
    files: int
    size_bytes: int
    mlflow_run_id: str


class ShadowJson(TypedDict):
    """What mirrored traffic showed, once there was some."""

    requests: int
    disagreements: int
    details: dict[str, Any]
    compared_at: str


class EvidenceJson(TypedDict):
    """Candidate and champion side by side, as they were when it was asked for."""

    candidate: EvidenceSideJson | None
    champion: EvidenceSideJson | None
    metrics: list[MetricDeltaJson]
    parameters: list[ParameterDiffJson]
    signature: SignatureDiffJson | None
    datasets: EvidenceDatasetsJson
    code_findings: list[dict[str, Any]] | None
    shadow: ShadowJson | None
    left_out: list[str]
    collected_at: str


class PolicyDetailJson(PolicyJson):
    """A policy, whether it is in force, and the numbers of it, newest first."""

    in_force: bool
    numbers: list[PolicyJson]


class ReplayedJson(TypedDict):
    """How a past request ended, and how it would have under a draft."""

    request_id: str
    model: str
    alias: str
    version: int
    opened_at: dt.datetime
    actual: str
    actual_at: dt.datetime | None
    would: str
    would_at: dt.datetime | None
    differs: bool
    why: list[str]


class PolicyReplayJson(TypedDict):
    """What would have differed, the newest request first."""

    replayed: int
    differing: int
    outcomes: list[ReplayedJson]


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
    binding: str
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
    """What one approver said; one that does not count is struck out, with the reason."""

    id: str
    decision: str
    approver: str | None
    on_behalf_of: str | None
    comment: str
    digest: str
    binding: str
    via: str
    decided_at: dt.datetime
    counts: bool
    why_not: str


class ConditionJson(TypedDict):
    """One thing that a policy asks; `until` is when it will be met by itself."""

    kind: str
    words: str
    is_met: bool
    have: int | None
    need: int | None
    until: dt.datetime | None
    policy: str


class CommentJson(TypedDict):
    """One entry in the thread of a request."""

    id: str
    author: str
    text: str
    written_at: dt.datetime


class CommentsJson(TypedDict):
    """The thread of a request, the oldest first."""

    comments: list[CommentJson]


class DelegationJson(TypedDict):
    """Who may decide on whose behalf, and from when to when."""

    id: str
    delegator: str
    delegate: str
    reason: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    revoked_at: dt.datetime | None
    is_in_force: bool


class DelegationsJson(TypedDict):
    """The delegations that one gave or got, the newest first."""

    delegations: list[DelegationJson]


class TimelineEntryJson(TypedDict):
    """One thing that happened to a request, with its place in the audit chain."""

    event_id: str
    sequence: int
    type: str
    at: dt.datetime
    actor: str
    data: dict[str, Any]


class TimelineJson(TypedDict):
    """What happened to a request, the oldest first."""

    events: list[TimelineEntryJson]
    next_page_token: NotRequired[str]


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
    """A request with what is missing in words, its evidence, decisions and checks."""

    alias_generation: int
    rollout_plan: dict[str, Any]
    unmet: list[str]
    conditions: list[ConditionJson]
    policies: list[PolicyJson]
    decisions: list[DecisionJson]
    checks: list[CheckJson]
    evidence: EvidenceJson


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
    """A move of an alias; `until` null is to this day, `version` null a deletion.

    With a `bypass_reason` the glass was broken for it, past the policies.
    """

    generation: int
    version: int | None
    digest: str | None
    previous: int | None
    moved_at: dt.datetime
    until: dt.datetime | None
    moved_by: str
    approval_request: str | None
    bypass_reason: str | None
    bypass_ticket: str | None
    event_id: str


class MovesJson(TypedDict):
    """A page of the moves of an alias, the latest first."""

    moves: list[MoveJson]
    next_page_token: NotRequired[str]
