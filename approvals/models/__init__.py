"""Who must agree before an alias moves, and what was decided."""

from __future__ import annotations

from approvals.models.bypasses import Bypass
from approvals.models.comments import Comment
from approvals.models.decisions import Callback, Check, Decision, Verdict, Via
from approvals.models.delegations import Delegation
from approvals.models.limits import Knock
from approvals.models.notices import (
    Notice,
    NoticeKind,
    NoticeStatus,
    Reminder,
)
from approvals.models.policies import Policy
from approvals.models.requests import OPEN, ApprovalRequest, RequestStatus

__all__ = [
    "OPEN",
    "ApprovalRequest",
    "Bypass",
    "Callback",
    "Check",
    "Comment",
    "Decision",
    "Delegation",
    "Knock",
    "Notice",
    "NoticeKind",
    "NoticeStatus",
    "Policy",
    "Reminder",
    "RequestStatus",
    "Verdict",
    "Via",
]
