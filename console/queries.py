"""What several pages list; who may see a row is asked of `visible`, as everywhere."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from access import audit
from access.audit import keep_visible
from access.facts import principals_of
from access.models import User
from access.privileges import Privilege
from access.securables import Securable
from approvals.models import ApprovalRequest, Decision, RequestStatus, Verdict
from approvals.services import delegations_held_by
from events.models import Event
from events.services import Subject
from events.types import REFUSALS
from registry.models import Alias, RegisteredModel

_MAX_RECENT = 12


def recent_events(person: User) -> list[Event]:
    """Return the newest events that the person may see."""
    return list(keep_visible(_newest_first(), person)[:_MAX_RECENT])


def recent_events_of(subject: Subject) -> list[Event]:
    """Return the newest events of one object, which the caller was let to see."""
    rows = _newest_first().filter(subject_id=subject.id).exclude(type__in=REFUSALS)
    return list(rows[:_MAX_RECENT])


def recent_events_of_model(model: RegisteredModel) -> list[Event]:
    """Return the newest events of a model, its versions and its requests."""
    return list(events_below(model)[:_MAX_RECENT])


def events_below(securable: Securable) -> QuerySet[Event]:
    """Return the events of an object and of what is in it, newest first.

    For pages of objects that the caller was let to see; refusals stay away.
    """
    return audit.events_below(securable).exclude(type__in=REFUSALS)


def _newest_first() -> QuerySet[Event]:
    return Event.objects.order_by("-sequence")


def visible_requests(person: User) -> QuerySet[ApprovalRequest]:
    """Return the approval requests, newest first, of the models that one sees."""
    models = RegisteredModel.objects.detailed(person)
    return _requests().filter(model__in=models)


def waiting_requests(person: User) -> QuerySet[ApprovalRequest]:
    """Return the requests that wait for this person's decision, newest first.

    For lists and counts only: the reviewers that a policy names are left to
    `approvals`, which asks all conditions when one decides.
    """
    by_them = Q(person=person.person, on_behalf_of=None) | Q(on_behalf_of=person)
    decided = Decision.objects.filter(by_them, cleared_at=None)
    return (
        _requests()
        .filter(
            model__in=RegisteredModel.objects.allowed(person, Privilege.APPROVE),
            status=RequestStatus.PENDING,
            expires_at__gt=timezone.now(),
        )
        .exclude(requester=person)
        .exclude(model__owner__in=principals_of(person))
        .exclude(version__created_by=person)
        .exclude(pk__in=decided.values("request"))
    )


def requests_to_decide(person: User) -> QuerySet[ApprovalRequest]:
    """Return what waits for a person, and for reviewers who delegated to them."""
    condition = Q(pk__in=waiting_requests(person).order_by().values("pk"))
    for delegation in delegations_held_by(principal=person):
        theirs = waiting_requests(delegation.delegator).order_by().values("pk")
        condition |= Q(pk__in=theirs) & ~Q(requester=person)
    return visible_requests(person).filter(condition)


def present_aliases(model: RegisteredModel) -> QuerySet[Alias]:
    """Return the aliases of a model that point somewhere, by name."""
    rows = model.aliases.exclude(version=None).order_by("name")
    return rows.select_related("model", "version", "previous_version", "set_by")


def requests_about(model: RegisteredModel) -> QuerySet[ApprovalRequest]:
    """Return the approval requests of one model, newest first."""
    return _requests().filter(model=model)


def _approvals_so_far() -> Any:
    """Count in persons who approved; that they still may is asked on the page."""
    rows = Decision.objects.filter(
        request=OuterRef("pk"), verdict=Verdict.APPROVE, cleared_at=None
    )
    counted = (
        rows.order_by().values("request").annotate(n=Count("person", distinct=True))
    )
    return Coalesce(Subquery(counted.values("n")), 0)


def _requests() -> QuerySet[ApprovalRequest]:
    rows = ApprovalRequest.objects.annotate(approved_by=_approvals_so_far())
    return rows.order_by("-opened_at", "-id").select_related(
        "model__schema__catalog",
        "model__owner__owner",
        "version__model",
        "version__created_by__owner",
        "version__on_behalf_of__owner",
        "previous_version__model",
        "previous_version__created_by",
        "requester__owner",
        "policy__catalog",
        "policy__schema",
        "policy__model",
    )
