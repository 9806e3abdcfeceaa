"""Requests driven through random interleavings, against a small model of the rules.

Each example works in a savepoint of the test's transaction and is rolled back.
The model keeps who has which right; the database says what happened.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import time_machine
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from access import services as access
from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from approvals import tasks
from approvals.lifecycle import settle
from approvals.models import OPEN, ApprovalRequest, Decision
from core.errors import DomainError
from events.models import Event
from events.verification import verify_chain
from registry import services as registry
from registry.models import AliasMove, ModelVersion, RegisteredModel, Schema

ALIAS = "Champion"
ENDED = {
    "applied",
    "rejected",
    "cancelled",
    "expired",
    "superseded",
    "invalidated",
    "failed",
}


@dataclass
class World:
    """What there is before the first step; every example begins with it."""

    model: RegisteredModel
    schema: Schema
    versions: list[ModelVersion]
    owner: User
    admin: User
    group: User
    reviewers: list[User]


@dataclass
class Rights:
    """The model: who may review, and since when."""

    approve: set[int]
    member_since: dict[int, dt.datetime]
    need: int = 2
    gone: set[int] = field(default_factory=set)


PERSONS = st.sampled_from(range(5))
NUMBERS = st.sampled_from(range(8))
SEVERAL = st.lists(PERSONS, min_size=1, max_size=4)


class Requests(RuleBasedStateMachine):
    """The machine; `begin_in` gives it the self.world."""

    world: World

    @initialize()
    def begin(self) -> None:
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        self.began = timezone.now()
        self.clock = time_machine.travel(self.began + dt.timedelta(hours=1), tick=False)
        self.time = self.clock.start()
        everybody = set(range(len(self.world.reviewers)))
        long_ago = self.began - dt.timedelta(days=30)
        self.rights = Rights(everybody, dict.fromkeys(everybody, long_ago))
        self.broken_glass = 0
        self.judged: set[object] = set()
        self.delegated: dict[int, int] = {}

    def teardown(self) -> None:
        if not hasattr(self, "savepoint"):
            return
        assert list(verify_chain()) == []
        self.clock.stop()
        transaction.set_rollback(True)
        self.savepoint.__exit__(None, None, None)

    # --- what persons do --------------------------------------------------

    @rule(number=NUMBERS)
    def open_request(self, number: int) -> None:
        with self.refused():
            approvals.request_alias(
                self.world.model, ALIAS, self.fresh(number), principal=self.world.owner
            )

    @rule(voters=SEVERAL)
    def approve(self, voters: list[int]) -> None:
        for who in voters:
            self.decide(who, "approve")

    @rule(number=NUMBERS, voters=SEVERAL)
    def open_and_approve(self, number: int, voters: list[int]) -> None:
        self.open_request(number)
        self.approve(voters)

    @rule(who=PERSONS)
    def reject(self, who: int) -> None:
        self.decide(who, "reject")

    @rule(giver=PERSONS, holder=PERSONS)
    def delegate(self, giver: int, holder: int) -> None:
        with self.refused():
            approvals.delegate_approvals(
                self.world.reviewers[holder],
                ends_at=timezone.now() + dt.timedelta(days=3),
                principal=self.world.reviewers[giver],
            )
            self.delegated[holder] = giver

    @precondition(lambda self: self.delegated)
    @rule(data=st.data())
    def decide_for_another(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(sorted(self.delegated)))
        giver = self.delegated[holder]
        for approval in self.open_requests():
            with self.refused():
                approvals.decide(
                    approval,
                    "approve",
                    digest=approval.digest,
                    on_behalf_of=self.world.reviewers[giver],
                    principal=self.world.reviewers[holder],
                )

    @rule(who=PERSONS)
    def take_back(self, who: int) -> None:
        mine = Decision.objects.filter(
            request__status__in=OPEN, person=self.world.reviewers[who]
        )
        for decision in mine:
            with self.refused():
                approvals.revoke_decision(decision, principal=self.world.reviewers[who])

    @rule(bake=st.sampled_from([10, 20]))
    def edit_plan(self, bake: int) -> None:
        for approval in self.open_requests():
            with self.refused():
                approvals.edit_plan(
                    approval, {"bake_seconds": bake}, principal=self.world.owner
                )

    @rule()
    def cancel(self) -> None:
        for approval in self.open_requests():
            with self.refused():
                approvals.cancel(approval, principal=self.world.owner)

    # --- what happens around them -----------------------------------------

    @rule(days=st.sampled_from([1, 1, 2, 8]))
    def wait(self, days: int) -> None:
        self.time.shift(dt.timedelta(days=days))

    @rule()
    def sweep(self) -> None:
        tasks.expire_due()
        tasks.apply_due()

    @rule(number=NUMBERS)
    def delete_version(self, number: int) -> None:
        with self.refused():
            registry.delete_version(self.fresh(number), principal=self.world.owner)
        self.settle_all()

    @rule(number=NUMBERS)
    def tamper(self, number: int) -> None:
        with transaction.atomic():
            registry.report_tampering(self.fresh(number), ["weights.json was changed"])
        self.settle_all()

    @rule(who=PERSONS)
    def lose_approve(self, who: int) -> None:
        access.revoke(
            self.world.schema,
            Privilege.APPROVE,
            self.world.reviewers[who],
            principal=self.world.admin,
        )
        self.rights.approve.discard(who)

    @rule(who=PERSONS)
    def leave_group(self, who: int) -> None:
        access.remove_member(
            self.world.group, self.world.reviewers[who], principal=self.world.admin
        )
        self.rights.member_since.pop(who, None)

    @rule(who=PERSONS)
    def join_group(self, who: int) -> None:
        access.add_member(
            self.world.group, self.world.reviewers[who], principal=self.world.admin
        )
        self.rights.member_since.setdefault(who, timezone.now())

    @rule(number=NUMBERS)
    def break_glass(self, number: int) -> None:
        with self.refused():
            approvals.break_glass(
                self.world.model,
                ALIAS,
                self.fresh(number),
                reason="the night shift needs it",
                principal=self.world.admin,
            )
            self.broken_glass += 1

    @rule()
    def tighten(self) -> None:
        with self.refused():
            approvals.create_policy(
                self.world.model,
                ALIAS,
                approvals_needed=3,
                reviewers=[self.world.group],
                principal=self.world.owner,
            )
            self.rights.need = 3

    # --- what is always true ----------------------------------------------

    @invariant()
    def one_request_is_open(self) -> None:
        if hasattr(self, "savepoint"):
            assert len(self.open_requests()) <= 1

    @invariant()
    def the_alias_moved_as_often_as_requests_were_applied(self) -> None:
        if not hasattr(self, "savepoint"):
            return
        applied = self.requests().filter(status="applied")
        alias = registry.get_alias(self.world.model, ALIAS)
        moves = applied.count() + self.broken_glass
        assert (alias.generation if alias else 0) == moves
        assert AliasMove.objects.filter(alias__model=self.world.model).count() == moves
        if alias and alias.version:
            last = AliasMove.objects.get(generation=moves, alias=alias)
            assert last.version == alias.version

    @invariant()
    def who_applied_it_had_the_right(self) -> None:
        if not hasattr(self, "savepoint"):
            return
        for approval in self.requests().filter(status="applied"):
            if approval.pk not in self.judged:
                self.judged.add(approval.pk)
                self.judge(approval)

    @invariant()
    def every_transition_is_on_record_once(self) -> None:
        if not hasattr(self, "savepoint"):
            return
        for approval in self.requests():
            self.compare_with_record(approval)

    # --- how ----------------------------------------------------------------

    def judge(self, approval: ApprovalRequest) -> None:
        """Count the votes of a request that was just applied by the model."""
        settled = timezone.now() - settings.COOLING_PERIOD
        counting = approval.decisions.filter(cleared_at=None, verdict="approve")
        rights = self.rights
        persons = set()
        for decision in counting:
            assert decision.binding == approval.binding
            assert decision.digest == approval.version.digest == approval.digest
            voice = self.world.reviewers.index(decision.reviewer)
            assert voice in rights.approve
            assert rights.member_since[voice] <= settled
            assert decision.person != self.world.owner
            persons.add(decision.person)
        assert len(persons) >= rights.need
        assert approval.expires_at > approval.closed_at

    def compare_with_record(self, approval: ApprovalRequest) -> None:
        events = Event.objects.filter(subject_id=approval.pk)
        said = Counter(events.values_list("type", flat=True))
        verbs = {verb: said[f"approval.{verb}"] for verb in ENDED}
        ended = {} if approval.is_open else {approval.status: 1}
        assert {verb: n for verb, n in verbs.items() if n} == ended
        assert said["approval.requested"] == 1
        assert said["approval.approved"] == (
            1 if approval.status in {"applied", "failed"} else 0
        )
        decisions = approval.decisions
        assert said["approval.decided"] == decisions.count()
        back = decisions.filter(cleared_because__endswith="took it back").count()
        assert said["approval.decision_revoked"] == back

    def decide(self, who: int, verdict: str) -> None:
        for approval in self.open_requests():
            with self.refused():
                approvals.decide(
                    approval,
                    verdict,
                    digest=approval.digest,
                    binding=approval.binding,
                    principal=self.world.reviewers[who],
                )

    def requests(self) -> QuerySet[ApprovalRequest]:
        return ApprovalRequest.objects.filter(model=self.world.model)

    def open_requests(self) -> list[ApprovalRequest]:
        return list(self.requests().filter(status__in=OPEN))

    def fresh(self, number: int) -> ModelVersion:
        return ModelVersion.objects.get(pk=self.world.versions[number].pk)

    def settle_all(self) -> None:
        """Do what the events of a deletion or of tampering lead to."""
        for approval in self.open_requests():
            settle(approval)

    @contextmanager
    def refused(self) -> Iterator[None]:
        """Let a refusal pass: it must have left everything as it was."""
        self.time.shift(dt.timedelta(seconds=1))
        with suppress(DomainError):
            yield


def machine_of(world: World) -> type[Requests]:
    """Return the machine that works in a world."""
    return type("Requests", (Requests,), {"world": world})
