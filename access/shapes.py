"""What the REST of access answers."""

from __future__ import annotations

import datetime as dt
from typing import NotRequired, TypedDict

from events.records import EventJson


class PrincipalJson(TypedDict):
    """A person, a service or a group."""

    id: str
    username: str
    kind: str
    is_active: bool
    owner: str | None


class UsersJson(TypedDict):
    """A page of the persons, by name."""

    users: list[PrincipalJson]
    next_page_token: NotRequired[str]


class ServicePrincipalsJson(TypedDict):
    """A page of the services, by name."""

    service_principals: list[PrincipalJson]
    next_page_token: NotRequired[str]


class GroupsJson(TypedDict):
    """A page of the groups, by name."""

    groups: list[PrincipalJson]
    next_page_token: NotRequired[str]


class MembersJson(TypedDict):
    """Who is directly in a group, by name."""

    members: list[PrincipalJson]


class TokenJson(TypedDict):
    """An access token without its secret."""

    id: str
    name: str
    hint: str
    scopes: list[str]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None


class TokensJson(TypedDict):
    """One's tokens, newest first."""

    tokens: list[TokenJson]


class IssuedTokenJson(TypedDict):
    """A new token: its text is in this answer only."""

    token: str
    principal: str


class GrantJson(TypedDict):
    """A privilege of a principal on a securable."""

    principal: str
    privilege: str
    expires_at: dt.datetime | None


class GrantsJson(TypedDict):
    """The direct grants on a securable, by holder."""

    grants: list[GrantJson]


class ToxicJson(TypedDict):
    """A pair of rights that a principal should not hold together."""

    rule: str
    principal: str
    full_name: str
    message: str


class ChangedGrantsJson(TypedDict):
    """The grants after a change, and the toxic pairs that it made."""

    grants: list[GrantJson]
    warnings: list[ToxicJson]


class OwnerJson(TypedDict):
    """Who owns a securable now."""

    full_name: str
    owner: str


class DifferenceJson(TypedDict):
    """The operations that a principal would gain and lose on an object."""

    principal: str
    securable_type: str
    full_name: str
    gains: list[str]
    loses: list[str]


class SimulationJson(TypedDict):
    """What changes would do; `truncated` when not everything was looked at."""

    differences: list[DifferenceJson]
    warnings: list[ToxicJson]
    objects: int
    principals: int
    truncated: bool


class AccessRequestJson(TypedDict):
    """A wish for privileges on an object, and what became of it."""

    id: str
    requester: str
    securable_type: str
    object: str
    privileges: list[str]
    reason: str
    status: str
    requested_at: dt.datetime
    answered_by: str | None
    answered_at: dt.datetime | None
    answer: str


class AccessRequestsJson(TypedDict):
    """One's requests, and those about what one manages, newest first."""

    access_requests: list[AccessRequestJson]


class RequirementJson(TypedDict):
    """One thing that is needed, and whether the principal has it."""

    privilege: str
    securable_type: str
    full_name: str
    met: bool
    who_can_grant: list[str]


class SourceJson(TypedDict):
    """A grant or an ownership that meets a need, and by which groups it is held."""

    privilege: str
    securable_type: str
    full_name: str
    holder: str
    through: list[str]
    inherited: bool
    expires_at: dt.datetime | None


class NeededJson(TypedDict):
    """One thing that an operation needs, what meets it, or who can grant it."""

    needs: str
    securable_type: str
    full_name: str
    met: bool
    sources: list[SourceJson]
    who_can_grant: list[str]


class ExplanationJson(TypedDict):
    """What an operation needs, and every other way to be allowed."""

    allowed: bool
    principal: str
    operation: str
    code: str
    words: str
    conditions: list[str]
    securable_type: str
    full_name: str
    requirements: list[NeededJson]
    ways: list[list[NeededJson]]


class CouldJson(TypedDict):
    """A principal that may, or could after giving itself the right."""

    principal: str
    kind: str
    may_now: bool
    by_breaking_glass: bool
    sources: list[SourceJson]


class WhoCouldJson(TypedDict):
    """Everybody who could, by name."""

    principals: list[CouldJson]
    truncated: bool


class AnyExplanationJson(TypedDict):
    """What was asked for is needed: by an operation, or by a single privilege.

    A need of a single privilege has `privilege` for `needs`, and no `sources`.
    """

    allowed: bool
    principal: NotRequired[str]
    operation: NotRequired[str]
    code: NotRequired[str]
    words: NotRequired[str]
    conditions: NotRequired[list[str]]
    securable_type: NotRequired[str]
    full_name: NotRequired[str]
    requirements: list[NeededJson | RequirementJson]
    ways: NotRequired[list[list[NeededJson]]]


class EventsJson(TypedDict):
    """A page of the audit log, newest first."""

    events: list[EventJson]
    next_page_token: NotRequired[str]
