"""Policies: which there are, what each says, and what a change would have done."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from access.authz import is_allowed, require
from access.models import User
from access.privileges import Privilege
from access.securables import Securable
from approvals import reads
from approvals import services as approvals
from approvals.drafts import Draft
from approvals.models import Policy
from approvals.simulation import simulate_policy
from console.objects import find_visible, kind_of
from console.pages import SignedInRequest, action, page, refused
from console.policy_texts import EMPTY_FORM, draft_from, fields_of, lines_of
from core.errors import DomainError, InvalidParameter

_KINDS = ("catalog", "schema", "model")
_REPLAYED = 20


@page
def policies(request: SignedInRequest) -> HttpResponse:
    """Show the policies in force that the person sees, or those of one object."""
    rows = reads.visible_policies(request.user)
    found = reads.only_in_force(rows)
    shown = [(policy, lines_of(policy)[0][1]) for policy in found]
    return render(request, "console/policies.html", {"policies": shown})


@page
def policy(request: SignedInRequest, policy_id: UUID) -> HttpResponse:
    """Show one number of a policy, and the numbers before and after it."""
    found = reads.get_policy(policy_id, principal=request.user)
    numbers = list(reads.numbers_of(found))
    context = {
        "policy": found,
        "kind": kind_of(found.scope),
        "lines": lines_of(found),
        "numbers": numbers,
        "newest": numbers[0],
        "in_force": found == numbers[0] and not found.is_retired,
        "may_manage": _may_manage(request.user, found),
    }
    return render(request, "console/policy.html", context)


@page
def new_policy(request: SignedInRequest) -> HttpResponse:
    """Show the form for a policy of an object; on POST, try it or put it."""
    sent = request.POST if request.method == "POST" else request.GET
    kind, full_name = sent.get("kind", ""), sent.get("full_name", "").strip()
    if request.method == "POST" and not hasattr(request, "refusal"):
        return _put(request, kind, full_name, None)
    typed = {**EMPTY_FORM, **_typed(request)}
    return _form(request, kind, full_name, typed, None)


@page
def change_policy(request: SignedInRequest, policy_id: UUID) -> HttpResponse:
    """Show a policy as a form; on POST, try the change or make its next number."""
    found = reads.get_policy(policy_id, principal=request.user)
    require(request.user, Privilege.MANAGE, found.scope)
    kind, full_name = kind_of(found.scope), found.scope.full_name
    if request.method == "POST" and not hasattr(request, "refusal"):
        return _put(request, kind, full_name, found)
    return _form(request, kind, full_name, fields_of(found) | _typed(request), found)


@action(shown_on=policy)
def retire_policy(request: SignedInRequest, policy_id: UUID) -> HttpResponse:
    """End a policy by a last number."""
    found = reads.get_policy(policy_id, principal=request.user)
    note = request.POST.get("note", "").strip()[:2000]
    ended = approvals.retire_policy(found, note=note, principal=request.user)
    messages.success(request, f"{ended.full_name} is retired.")
    return redirect("console:policy", ended.pk)


def _put(
    request: SignedInRequest, kind: str, full_name: str, changed: Policy | None
) -> HttpResponse:
    """Put what the form says, or show what it would have done."""
    arguments: tuple[Any, ...] = (changed.pk,) if changed else ()
    try:
        scope = _scope(kind, full_name, request.user)
        draft = draft_from(request.POST)
        if request.POST.get("do") == "simulate":
            return _simulated(request, scope, draft, changed)
        after = _number(request.POST.get("after", ""))
        put = approvals.put_policy(scope, draft, after=after, principal=request.user)
    except DomainError as error:
        view = change_policy if changed else new_policy
        return refused(request, error, view, *arguments)
    messages.success(request, f"{put.full_name} is in force in number {put.number}.")
    return redirect("console:policy", put.pk)


def _simulated(
    request: SignedInRequest, scope: Securable, draft: Draft, changed: Policy | None
) -> HttpResponse:
    replay = simulate_policy(scope, draft, last=_REPLAYED, principal=request.user)
    kind, full_name = kind_of(scope), scope.full_name
    return _form(request, kind, full_name, _typed(request), changed, replay=replay)


def _form(
    request: SignedInRequest,
    kind: str,
    full_name: str,
    typed: dict[str, Any],
    changed: Policy | None,
    **more: Any,
) -> HttpResponse:
    context = {
        "kinds": _KINDS,
        "kind": kind,
        "full_name": full_name,
        "typed": typed,
        "changed": changed,
        "is_admin": request.user.is_superuser,
        **more,
    }
    return render(request, "console/policy_form.html", context)


def _typed(request: SignedInRequest) -> dict[str, Any]:
    """Return what was sent, and which boxes were not ticked, for the form anew."""
    if request.method != "POST":
        return {}
    boxes = ("distinct_reviewers", "callback_may_approve")
    return {**request.POST.dict(), **{box: box in request.POST for box in boxes}}


def _scope(kind: str, full_name: str, person: User) -> Securable:
    if kind not in _KINDS:
        raise InvalidParameter("Choose a catalog, a schema or a model.")
    found: Securable = find_visible(kind, full_name, person)
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 9 else None


def _may_manage(person: User, policy: Policy) -> bool:
    return is_allowed(person, Privilege.MANAGE, policy.scope)
