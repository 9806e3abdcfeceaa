"""What an existing registry holds, whichever way it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from registry.prompts import IS_PROMPT


class OriginError(Exception):
    """The registry cannot be read; the message says what to do."""


@dataclass(frozen=True)
class OriginVersion:
    """A version as the old registry knows it; times are in milliseconds."""

    name: str
    number: int
    source: str
    # where its files are, when the registry says so without being asked
    location: str
    description: str = ""
    user: str = ""
    stage: str = ""
    status: str = "READY"
    run_id: str = ""
    run_link: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    created_at: int = 0
    updated_at: int = 0


@dataclass(frozen=True)
class OriginModel:
    """A registered model with its versions, in the order of their numbers."""

    name: str
    description: str
    tags: dict[str, str]
    aliases: dict[str, int]
    created_at: int
    updated_at: int
    versions: tuple[OriginVersion, ...]
    # the highest number ever given, that of a deleted version included
    highest: int

    @property
    def is_prompt(self) -> bool:
        return self.tags.get(IS_PROMPT) == "true"


class Origin(Protocol):
    """A registry to be taken over."""

    # how it is named in lineage and events: without user name and password
    address: str
    # where its `mlflow-artifacts:/` leads: a directory, a URL, or nothing
    artifacts: str
    # a server's word on paths of this machine is not taken
    is_server: bool

    def models(self) -> Iterator[OriginModel]:
        """Yield the models in the order of their names."""

    def locate(self, version: OriginVersion) -> str:
        """Return the URI of a version's files. Raises OriginError."""


def version_of(entity: Any, location: str = "") -> OriginVersion:
    """Return a version from MLflow's entity."""
    stage = entity.current_stage or ""
    return OriginVersion(
        name=entity.name,
        number=int(entity.version),
        source=entity.source or "",
        location=location,
        description=entity.description or "",
        user=entity.user_id or "",
        stage="" if stage == "None" else stage,
        status=entity.status or "READY",
        run_id=entity.run_id or "",
        run_link=entity.run_link or "",
        tags=dict(entity.tags or {}),
        created_at=entity.creation_timestamp or 0,
        updated_at=entity.last_updated_timestamp or entity.creation_timestamp or 0,
    )


def model_of(entity: Any, versions: list[OriginVersion], highest: int) -> OriginModel:
    """Return a model from MLflow's entity, whose `tags` hide that of a prompt."""
    aliases = {name: int(number) for name, number in (entity.aliases or {}).items()}
    with_aliases = [
        replace(version, aliases=_pointing_at(version.number, aliases))
        for version in sorted(versions, key=lambda version: version.number)
    ]
    return OriginModel(
        name=entity.name,
        description=entity.description or "",
        tags=dict(entity._tags),
        aliases=aliases,
        created_at=entity.creation_timestamp or 0,
        updated_at=entity.last_updated_timestamp or entity.creation_timestamp or 0,
        versions=tuple(with_aliases),
        highest=max([highest, *(version.number for version in versions)]),
    )


def _pointing_at(number: int, aliases: dict[str, int]) -> tuple[str, ...]:
    return tuple(sorted(name for name, at in aliases.items() if at == number))


def without_credentials(url: str) -> str:
    """Return a URL without user name, password and query."""
    if url.startswith("sqlite:///"):
        return f"sqlite:///{Path(url.removeprefix('sqlite:///')).resolve()}"
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme.partition("+")[0], host, parts.path, "", ""))
