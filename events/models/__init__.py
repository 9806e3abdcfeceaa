"""The tables of what happened, and of what proves it."""

from __future__ import annotations

from events.models.audit import (
    Archive,
    Checkpoint,
    Leaf,
    RefusalCount,
    SinkCursor,
    Verification,
)
from events.models.events import ChainHead, Event, OutboxEntry

__all__ = [
    "Archive",
    "ChainHead",
    "Checkpoint",
    "Event",
    "Leaf",
    "OutboxEntry",
    "RefusalCount",
    "SinkCursor",
    "Verification",
]
