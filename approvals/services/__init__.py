"""Policies, requests, decisions and checks: the only code that moves aliases.

Call them as `approvals.verb_noun(…)`.
"""

from __future__ import annotations

from approvals.gate import unmet
from approvals.policies import create_policy, find_policy
from approvals.services.aliases import (
    adopt_alias,
    break_glass,
    delete_alias,
    restore_alias,
    set_alias,
)
from approvals.services.decisions import decide, report_check
from approvals.services.requests import cancel, request_alias

__all__ = [
    "adopt_alias",
    "break_glass",
    "cancel",
    "create_policy",
    "decide",
    "delete_alias",
    "find_policy",
    "report_check",
    "request_alias",
    "restore_alias",
    "set_alias",
    "unmet",
]
