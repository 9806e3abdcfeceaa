"""Finish what a process that died has begun."""

from __future__ import annotations

from registry.services.versions import claim_pending, take_pending_bytes


def finish_pending() -> None:
    """Take the bytes of PENDING versions whose taker is gone (a keeper's sweep)."""
    for version in claim_pending():
        take_pending_bytes(version)
