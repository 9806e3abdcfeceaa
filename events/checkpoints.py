"""Signed statements of where the chain stood, to be kept where we cannot reach.

A chain alone stops nobody who can rewrite all of it. A checkpoint that lies
elsewhere does: the event it names must still be there, with that hash.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, TypedDict

from django.utils import timezone

from core import dsse
from events.models import ChainHead, Checkpoint

PAYLOAD_TYPE = "application/vnd.greenlight.audit-checkpoint+json"
STREAM = "greenlight/events"
EVERY = dt.timedelta(seconds=60)
EVERY_EVENTS = 1_000


class CheckpointJson(TypedDict):
    """What is signed."""

    stream: str
    sequence: int
    hash: str
    count: int
    at: str


def make_checkpoint() -> Checkpoint | None:
    """Sign where the chain stands now; the old one, if nothing happened since it."""
    head = ChainHead.objects.filter(id=1).first()
    if head is None or not head.sequence:
        return None
    now = timezone.now()
    payload: CheckpointJson = {
        "stream": STREAM,
        "sequence": head.sequence,
        "hash": head.hash,
        # without gaps, from the first event on, archived ones among them
        "count": head.sequence,
        "at": now.isoformat(),
    }
    envelope = dsse.sign(dict(payload), PAYLOAD_TYPE)
    made, _ = Checkpoint.objects.get_or_create(
        sequence=head.sequence,
        defaults={"hash": head.hash, "created_at": now, "envelope": envelope},
    )
    return made


def is_due() -> bool:
    """Tell whether there is enough new since the last checkpoint, or long enough."""
    last = Checkpoint.objects.order_by("-sequence").first()
    head = ChainHead.objects.filter(id=1).first()
    if head is None or head.sequence == (last.sequence if last else 0):
        return False
    if last is None or head.sequence - last.sequence >= EVERY_EVENTS:
        return True
    return last.created_at <= timezone.now() - EVERY


def opened(envelope: Any, key: bytes) -> CheckpointJson:
    """Return what a checkpoint says, if the key signed it. Raises InvalidParameter."""
    said = dsse.opened(envelope, PAYLOAD_TYPE, key)
    return {
        "stream": str(said["stream"]),
        "sequence": int(said["sequence"]),
        "hash": str(said["hash"]),
        "count": int(said["count"]),
        "at": str(said["at"]),
    }
