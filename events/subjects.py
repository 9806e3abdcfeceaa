"""Actors and subjects of events that are no rows at hand."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from types import SimpleNamespace


@dataclass
class NamedSubject:
    """A thing known by its kind, id and name alone."""

    kind: str
    id: uuid.UUID
    full_name: str

    @property
    def _meta(self) -> SimpleNamespace:
        return SimpleNamespace(model_name=self.kind)


@dataclass
class NamedActor:
    """A principal known by its id and name alone."""

    id: uuid.UUID
    username: str


# what events are about that concern all of it: its log, its sign-in
INSTALLATION = NamedSubject("installation", uuid.UUID(int=0), "installation")
