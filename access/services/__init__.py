"""The services of access, by noun; call them as `access.verb_noun(…)`."""

from __future__ import annotations

from access.services.expiry import expire_grants
from access.services.grants import (
    change_grants,
    grant,
    is_cooling,
    list_grants,
    revoke,
    transfer_ownership,
)
from access.services.groups import (
    add_member,
    create_group,
    get_group,
    list_members,
    members_of,
    persons_of,
    remove_member,
)
from access.services.principals import (
    activate,
    change_mail,
    create_service_principal,
    create_user,
    deactivate,
    get_account,
    get_principal,
    require_admin,
)
from access.services.requests import (
    decline_request,
    get_access_request,
    grant_request,
    request_access,
    visible_access_requests,
    withdraw_request,
)
from access.services.statements import run_statements
from access.services.tokens import DEFAULT_TOKEN_LIFE, issue_token, revoke_token

__all__ = [
    "DEFAULT_TOKEN_LIFE",
    "activate",
    "add_member",
    "change_grants",
    "change_mail",
    "create_group",
    "create_service_principal",
    "create_user",
    "deactivate",
    "decline_request",
    "expire_grants",
    "get_access_request",
    "get_account",
    "get_group",
    "get_principal",
    "grant",
    "grant_request",
    "is_cooling",
    "issue_token",
    "list_grants",
    "list_members",
    "members_of",
    "persons_of",
    "remove_member",
    "request_access",
    "require_admin",
    "revoke",
    "revoke_token",
    "run_statements",
    "transfer_ownership",
    "visible_access_requests",
    "withdraw_request",
]
