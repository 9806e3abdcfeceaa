"""Policies, requests, decisions and checks: the only code that moves aliases.

Call them as `approvals.verb_noun(…)`.
"""

from __future__ import annotations

from approvals.gate import unmet
from approvals.policies import find_policy
from approvals.services.aliases import (
    adopt_alias,
    delete_alias,
    restore_alias,
    set_alias,
)
from approvals.services.bypasses import break_glass, may_break_glass
from approvals.services.checks import report_check
from approvals.services.comments import comment_on, may_comment
from approvals.services.decisions import decide, revoke_decision
from approvals.services.delegations import (
    delegate_approvals,
    delegations_held_by,
    get_delegation,
    revoke_delegation,
    visible_delegations,
)
from approvals.services.policies import create_policy, put_policy, retire_policy
from approvals.services.requests import cancel, edit_plan, request_alias

__all__ = [
    "adopt_alias",
    "break_glass",
    "cancel",
    "comment_on",
    "create_policy",
    "decide",
    "delegate_approvals",
    "delegations_held_by",
    "delete_alias",
    "edit_plan",
    "find_policy",
    "get_delegation",
    "may_break_glass",
    "may_comment",
    "put_policy",
    "report_check",
    "request_alias",
    "restore_alias",
    "retire_policy",
    "revoke_decision",
    "revoke_delegation",
    "set_alias",
    "unmet",
    "visible_delegations",
]
