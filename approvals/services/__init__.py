"""Policies, requests, decisions and checks: the only code that moves aliases.

Call them as `approvals.verb_noun(…)`.
"""

from __future__ import annotations

from approvals.gate import unmet
from approvals.policies import find_policy
from approvals.services.aliases import (
    adopt_alias,
    break_glass,
    delete_alias,
    restore_alias,
    set_alias,
)
from approvals.services.decisions import decide, report_check
from approvals.services.policies import create_policy, put_policy, retire_policy
from approvals.services.requests import cancel, request_alias

__all__ = [
    "adopt_alias",
    "break_glass",
    "cancel",
    "create_policy",
    "decide",
    "delete_alias",
    "find_policy",
    "put_policy",
    "report_check",
    "request_alias",
    "restore_alias",
    "retire_policy",
    "set_alias",
    "unmet",
]
