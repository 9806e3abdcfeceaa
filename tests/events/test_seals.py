"""Reads of bytes are leaves, sealed into the chain."""

from __future__ import annotations

import hashlib
import threading

import pytest
from django.db import connections

from access.models import User
from events import seals
from events.merkle import MerkleFold
from events.models import Event, Leaf
from events.verification import verify_chain


def root_of(leaves: list[str]) -> bytes:
    """Return the root as RFC 6962 defines it, by recursion."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0].encode()).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    halves = root_of(leaves[:split]) + root_of(leaves[split:])
    return hashlib.sha256(b"\1" + halves).digest()


@pytest.mark.parametrize("count", range(40))
def test_fold_is_the_tree_of_rfc_6962(count: int) -> None:
    leaves = [f"leaf {number}" for number in range(count)]
    fold = MerkleFold()
    for leaf in leaves:
        fold.add(leaf)
    assert fold.root == root_of(leaves).hex()


def read(owner: User, many: int) -> None:
    for number in range(many):
        seals.record_read(owner, principal=owner, path=f"f{number}")


def test_seals_follow_each_other_without_a_gap(owner: User) -> None:
    assert seals.seal() is None
    spans = []
    for many in (3, 2):
        read(owner, many)
        event = seals.seal()
        assert event is not None
        spans.append(event.data)
    assert seals.seal() is None
    assert spans[1]["first_leaf"] == spans[0]["last_leaf"] + 1
    assert [span["count"] for span in spans] == [3, 2]
    assert list(verify_chain()) == []


@pytest.mark.django_db(transaction=True)
def test_every_leaf_of_concurrent_writers_is_sealed_once(owner: User) -> None:
    writers, each = 4, 10
    done = threading.Event()

    def write() -> None:
        try:
            read(owner, each)
        finally:
            connections.close_all()

    def keep_sealing() -> None:
        try:
            while not done.is_set():
                seals.seal()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write) for _ in range(writers)]
    sealers = [threading.Thread(target=keep_sealing) for _ in range(2)]
    for thread in [*threads, *sealers]:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    for thread in sealers:
        thread.join()
    seals.seal()
    sealed = Event.objects.filter(type="audit.sealed")
    assert sum(event.data["count"] for event in sealed) == writers * each
    assert Leaf.objects.count() == writers * each
    assert list(verify_chain()) == []
