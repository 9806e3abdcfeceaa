"""What the keeper does for access."""

from __future__ import annotations

from access.services import expire_grants

__all__ = ["expire_grants"]
