"""How states, events, times and sizes look in templates; `console.words` decides."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access.models import User
from access.operations import BY_NAME
from access.securables import Securable
from access.token_scopes import TokenScope
from approvals.models import ApprovalRequest
from console import objects, words
from console.queries import waiting_requests
from console.strips import seconds_of
from events.models import Event
from registry.listing import ModelRow
from registry.signatures import Column, columns_of
from runners.models import Run

register = template.Library()


@register.simple_tag
def icon(name: str) -> SafeString:
    """Draw an icon of the sprite; the words beside it say the same."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="#i-{}"></use></svg>', name
    )


@register.simple_tag
def state(status: str) -> SafeString:
    """Draw the badge of a state: tone, icon and words."""
    look = words.look_of_state(status)
    return format_html(
        '<span class="badge" data-tone="{}">{}{}</span>',
        look.tone,
        icon(look.icon),
        look.words,
    )


@register.simple_tag
def when(moment: dt.datetime | None) -> SafeString:
    """Draw a moment as relative time, exact in its title."""
    if moment is None:
        return format_html("<small>{}</small>", "never")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        moment.strftime("%-d %B %Y, %H:%M:%S UTC"),
        words.relative(moment),
    )


@register.simple_tag(takes_context=True)
def token_scopes(context: dict[str, Any]) -> list[tuple[TokenScope, bool]]:
    """Return every scope and whether it is ticked: as the form was sent, else `all`."""
    request = context["request"]
    ticked = request.POST.getlist("scopes") if request.POST else [TokenScope.ALL]
    return [(scope, scope in ticked) for scope in TokenScope]


@register.filter
def event_look(event: Event) -> words.Look:
    return words.look_of_event(event)


@register.filter
def event_url(event: Event) -> str:
    return words.url_of(event.subject_type, event.subject_name, event.subject_id)


@register.filter
def url(row: Any) -> str:
    """Return the page of a row that has a full name."""
    return words.url_of(row._meta.model_name, row.full_name, row.pk)


@register.filter
def row_url(row: ModelRow) -> str:
    """Return the page of a model of a list."""
    return words.url_of("registeredmodel", row.name, row.id)


@register.filter
def last_name(row: ModelRow) -> str:
    """Return the name of a model of a list within its schema."""
    return row.name.rpartition(".")[2]


@register.filter
def up_to(count: int, most: int) -> str:
    """Say a number that was counted no further than `most`."""
    return f"{most:,}+" if count >= most else str(count)


@register.filter
def approvals_needed(approval: ApprovalRequest) -> int:
    """Return how many approvals the strictest policy asks, as it was at opening."""
    policies = approval.policy_snapshot.get("policies", [])
    return max((policy["approvals_needed"] for policy in policies), default=1)


@register.filter
def size(count: int) -> str:
    return words.size_of(count)


@register.filter
def duration(seconds: float) -> str:
    return words.duration_of(seconds)


@register.filter
def took(run: Run) -> str:
    """Say how long a run trained; nothing until it has ended."""
    return words.duration_of(seconds_of(run)) if run.ended_at else ""


@register.filter
def figure(value: float) -> str:
    """Say a metric with four digits that count."""
    return f"{value:.4g}"


@register.filter
def short(digest: str) -> str:
    """Shorten a digest to what a person compares."""
    return digest[:12]


@register.filter
def percent(basis_points: int | None) -> str:
    """Say basis points as percent; nothing was measured where there are none."""
    return "n/a" if basis_points is None else words.percent_of(basis_points)


@register.filter
def columns(signature: dict[str, Any]) -> list[Column]:
    return columns_of(signature)


@register.filter
def operation_words(name: str) -> str:
    """Say an operation as people do."""
    return BY_NAME[name].words


@register.filter
def principal_icon(who: User) -> str:
    """Return the icon of a principal, by its kind."""
    return {"group": "group", "service": "server"}.get(who.kind, "user")


@register.filter
def kind_said(securable: Securable) -> str:
    return objects.kind_of(securable)


@register.simple_tag
def object_url(securable: Securable, page: str) -> str:
    """Return the address of a page that every securable has."""
    return objects.url_to(securable, page)


@register.inclusion_tag("console/_object.html")
def object_heading(securable: Securable, current: str) -> dict[str, Any]:
    """Draw the head of an object's page: where it stands, its name, its tabs."""
    return {
        "object": securable,
        "kind": objects.kind_of(securable),
        "sign": objects.icon_of(securable),
        "crumbs": objects.crumbs_of(securable),
        "tabs": objects.tabs_of(securable),
        "current": current,
    }


# The tabs of the section Pipelines: whatever training reads and leaves behind.
_TRAINING = (
    ("console:pipelines", "Pipelines"),
    ("console:runs", "Runs"),
    ("console:datasets", "Datasets"),
    ("console:experiments", "Experiments"),
)


@register.inclusion_tag("console/_training.html")
def training_tabs(current: str) -> dict[str, Any]:
    """Draw the tabs of the lists about training."""
    tabs = [objects.Tab(words, words, reverse(name)) for name, words in _TRAINING]
    return {"tabs": tabs, "current": current}


_NAVIGATION = (
    ("console:catalogs", "Catalog"),
    ("console:requests", "Approvals"),
    ("console:pipelines", "Pipelines"),
    ("console:endpoints", "Endpoints"),
    ("console:activity", "Activity"),
    ("console:webhooks", "Webhooks"),
    ("console:principals", "Principals"),
)


@register.inclusion_tag("console/_topbar.html", takes_context=True)
def topbar(context: dict[str, Any]) -> dict[str, Any]:
    """Draw the top bar, with the number of requests that wait for the person."""
    request = context["request"]
    entries = [(reverse(name), words) for name, words in _NAVIGATION]
    training = tuple(reverse(name) for name, _ in _TRAINING)
    here = training[0] if request.path.startswith(training) else request.path
    return {
        "request": request,
        "csrf_token": context.get("csrf_token"),
        "waiting": len(waiting_requests(request.user)),
        "navigation": [
            {"url": url, "words": said, "is_current": here.startswith(url)}
            for url, said in entries
        ],
    }
