"""What several pages list; who may see a row is asked of `visible`, as everywhere."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils import timezone

from access.facts import principals_of
from access.models import User
from access.privileges import Privilege
from access.securables import Securable
from approvals.models import ApprovalRequest, Decision, RequestStatus
from events.models import Event
from events.services import Subject
from registry.models import Alias, Catalog, ModelVersion, RegisteredModel, Schema
from runners.models import Pipeline, Run
from runners.services import visible_runs
from serving.models import Endpoint
from serving.services import known_endpoints

_MAX_RECENT = 12


def keep_visible(events: QuerySet[Event], person: User) -> QuerySet[Event]:
    """Keep the events of what the person sees, is, or did.

    Call it after all other filters: every filter copies the conditions before it,
    and these are many.
    """
    if person.is_superuser:
        return events
    models = RegisteredModel.objects.detailed(person).values("pk")
    subjects = {
        Catalog: Catalog.objects.visible(person).values("pk"),
        Schema: Schema.objects.visible(person).values("pk"),
        RegisteredModel: models,
        ModelVersion: ModelVersion.objects.filter(model__in=models).values("pk"),
        ApprovalRequest: ApprovalRequest.objects.filter(model__in=models).values("pk"),
        Endpoint: known_endpoints(person).values("pk"),
        Pipeline: Pipeline.objects.detailed(person).values("pk"),
        Run: visible_runs(person).order_by().values("pk"),
    }
    condition = Q(actor_id=person.pk) | Q(subject_id=person.pk)
    for kind, rows in subjects.items():
        condition |= Q(subject_type=kind._meta.model_name, subject_id__in=rows)
    return events.filter(condition)


def recent_events(person: User) -> list[Event]:
    """Return the newest events that the person may see."""
    return list(keep_visible(_newest_first(), person)[:_MAX_RECENT])


def recent_events_of(subject: Subject) -> list[Event]:
    """Return the newest events of one object, which the caller was let to see."""
    return list(_newest_first().filter(subject_id=subject.id)[:_MAX_RECENT])


def recent_events_of_model(model: RegisteredModel) -> list[Event]:
    """Return the newest events of a model, its versions and its requests."""
    return list(events_below(model)[:_MAX_RECENT])


def events_below(securable: Securable) -> QuerySet[Event]:
    """Return the events of an object and of what is in it, newest first.

    A model is found by its id, which stays when it is renamed; a container by its
    name, which it keeps.
    """
    about = Q(subject_id=securable.pk)
    if isinstance(securable, RegisteredModel):
        about |= Q(subject_id__in=securable.versions.values("pk"))
        about |= Q(subject_id__in=securable.approval_requests.values("pk"))
    if isinstance(securable, Catalog | Schema):
        about |= Q(subject_name__startswith=f"{securable.full_name}.")
    return _newest_first().filter(about)


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
    decided = Decision.objects.filter(person=person.person, cleared_at=None)
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


def present_aliases(model: RegisteredModel) -> QuerySet[Alias]:
    """Return the aliases of a model that point somewhere, by name."""
    rows = model.aliases.exclude(version=None).order_by("name")
    return rows.select_related("model", "version", "previous_version", "set_by")


def requests_about(model: RegisteredModel) -> QuerySet[ApprovalRequest]:
    """Return the approval requests of one model, newest first."""
    return _requests().filter(model=model)


def _requests() -> QuerySet[ApprovalRequest]:
    return ApprovalRequest.objects.order_by("-opened_at", "-id").select_related(
        "model__schema__catalog",
        "model__owner__owner",
        "version__model",
        "version__created_by__owner",
        "version__on_behalf_of__owner",
        "previous_version__model",
        "previous_version__created_by",
        "requester__owner",
    )
