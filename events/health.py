"""Whether the log is whole, signed, shipped and archived, as far as rows tell."""

from __future__ import annotations

from dataclasses import dataclass

from events.models import (
    Archive,
    ChainHead,
    Checkpoint,
    Leaf,
    SinkCursor,
    Verification,
)
from events.seals import last_sealed
from events.sinks import targets

_MOST_ROWS = 20


@dataclass(frozen=True)
class SinkHealth:
    """How far a stream was shipped to its target."""

    stream: str
    target: str
    behind: int
    cursor: SinkCursor | None


@dataclass(frozen=True)
class AuditHealth:
    """What an auditor looks at first."""

    head: ChainHead
    unsealed: int
    verification: Verification | None
    checkpoints: list[Checkpoint]
    sinks: list[SinkHealth]
    archives: list[Archive]


def look() -> AuditHealth:
    """Gather it; nothing is verified here."""
    head = ChainHead.objects.filter(id=1).first() or ChainHead(hash="")
    checkpoints = list(Checkpoint.objects.order_by("-sequence")[:_MOST_ROWS])
    signed = checkpoints[0].sequence if checkpoints else 0
    ends = {"events": head.sequence, "checkpoints": signed}
    return AuditHealth(
        head,
        Leaf.objects.filter(pk__gt=last_sealed()).count(),
        Verification.objects.first(),
        checkpoints,
        [_sink(stream, to, ends[stream]) for stream, to in targets().items()],
        list(Archive.objects.order_by("-last_sequence")[:_MOST_ROWS]),
    )


def _sink(stream: str, target: str, end: int) -> SinkHealth:
    cursor = SinkCursor.objects.filter(stream=stream, target=target).first()
    behind = end - (cursor.position if cursor else 0)
    return SinkHealth(stream, target, behind, cursor)
