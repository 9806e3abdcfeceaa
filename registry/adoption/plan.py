"""What an adoption would do, worked out before anything is written."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from django.conf import settings

from access.models import User
from core.errors import InvalidParameter
from registry.adoption.files import File, Place, Unreachable, find, list_files
from registry.adoption.mapping import Mapping, suggest
from registry.adoption.origins import (
    Origin,
    OriginError,
    OriginModel,
    OriginVersion,
)
from registry.models import (
    IN_PLACE,
    Adoption,
    Alias,
    Catalog,
    FormerName,
    ModelVersion,
    RegisteredModel,
    Schema,
    VersionStatus,
)
from registry.names import check_alias, split_full_name

_THREADS = 8


class Action(StrEnum):
    """What happens to a model, a version or an alias."""

    TAKE = "take over"
    FINISH = "finish"
    HERE = "already here"
    SKIP = "leave out"
    ERROR = "error"


class Unreadable(StrEnum):
    """What to do with versions whose files cannot be read."""

    REFUSE = "refuse"
    FAIL = "fail"
    SKIP = "skip"


@dataclass
class PlannedVersion:
    """One version, where its files are, and why not when they are nowhere."""

    origin: OriginVersion
    action: Action
    place: Place | None = None
    files: list[File] = field(default_factory=list)
    problem: str = ""

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass
class PlannedAlias:
    """One alias: its name here and the number that it points at."""

    name: str
    number: int
    action: Action
    old_name: str


@dataclass
class PlannedModel:
    """One model with its new name, its owner, and what is wrong with it."""

    origin: OriginModel
    target: str
    owner: User
    action: Action
    versions: list[PlannedVersion] = field(default_factory=list)
    aliases: list[PlannedAlias] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def has_work(self) -> bool:
        parts = [self.action, *(one.action for one in self.versions)]
        parts += [one.action for one in self.aliases]
        return bool({Action.TAKE, Action.FINISH} & set(parts))


@dataclass
class Plan:
    """Everything that an adoption will do; `problems` forbid to begin."""

    origin: Origin
    models: list[PlannedModel]
    # catalog.schema that are missing and will be made
    schemas: list[str]
    # MLflow's experiments without an owner: id -> name
    experiments: dict[str, str] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        return [
            f"{model.origin.name}: {problem}"
            for model in self.models
            for problem in model.problems
        ]

    @property
    def has_work(self) -> bool:
        return bool(self.experiments) or any(model.has_work for model in self.models)

    @property
    def size(self) -> int:
        return sum(
            version.size
            for model in self.models
            for version in model.versions
            if version.action in {Action.TAKE, Action.FINISH}
        )


@dataclass(frozen=True)
class Choices:
    """How to plan: names, the owner of what no rule gives away, lost files."""

    mapping: Mapping
    owner: User
    unreadable: Unreadable = Unreadable.REFUSE


def make_plan(
    origin: Origin,
    choices: Choices,
    *,
    looked: Callable[[int, int], None] = lambda _done, _of: None,
) -> Plan:
    """Read the origin and work out what to do; nothing is written.

    `looked` is told how many versions of how many were looked for. Raises
    OriginError when the origin cannot be read.
    """
    known = _Known(origin.address)
    models = [_plan_model(model, origin, choices, known) for model in origin.models()]
    _find_collisions(models)
    _look_for_files(models, origin, choices.unreadable, looked)
    wanted = {
        model.target.rpartition(".")[0]
        for model in models
        if model.action == Action.TAKE and not model.problems
    }
    return Plan(origin, models, sorted(wanted - known.schemas))


class _Known:
    """What is here already, read once."""

    def __init__(self, address: str) -> None:
        rows = Adoption.objects.filter(origin=address).select_related("model__owner")
        self.adopted = {row.origin_name: row.model for row in rows}
        names = RegisteredModel.objects.values_list("full_name", flat=True)
        self.taken = {name.lower() for name in names}
        former = FormerName.objects.filter(last_number__gt=0)
        self.left = set(former.values_list("key", flat=True))
        catalogs = Schema.objects.values_list("catalog__name", "name")
        self.schemas = {f"{catalog}.{name}" for catalog, name in catalogs}
        names_of_catalogs = Catalog.objects.values_list("name", flat=True)
        spelled = {*self.schemas, *names_of_catalogs}
        self.spelling = {name.lower(): name for name in spelled}
        self.users = {user.username: user for user in User.objects.all()}


def _plan_model(
    model: OriginModel, origin: Origin, choices: Choices, known: _Known
) -> PlannedModel:
    here = known.adopted.get(model.name)
    if here and here.deleted_at:
        note = "it was taken over once, and deleted here since"
        return PlannedModel(model, "", here.owner, Action.SKIP, note=note)
    if here:
        planned = PlannedModel(model, here.full_name, here.owner, Action.HERE)
        _plan_parts(planned, choices.mapping, here)
        return planned
    in_place = origin.address == IN_PLACE
    rule = choices.mapping.rule_for(model.name)
    target = choices.mapping.target_of(model.name, in_place=in_place)
    owner = known.users.get(rule.owner) if rule.owner else choices.owner
    planned = PlannedModel(model, target, owner or choices.owner, Action.TAKE)
    if rule.skip:
        planned.action = Action.SKIP
        return planned
    if owner is None:
        planned.problems.append(f"the owner {rule.owner!r} is no principal here")
    planned.problems += _name_problems(target, model.name, known)
    _plan_parts(planned, choices.mapping, None)
    return planned


def _name_problems(target: str, old: str, known: _Known) -> Iterator[str]:
    try:
        split_full_name(target)
    except InvalidParameter as error:
        schema = ".".join(target.split(".")[:2])
        yield f"{error.message} Map it, for instance to {schema}.{suggest(old)}"
        return
    schema = target.rpartition(".")[0]
    if target.lower() in known.left:
        yield (
            f"{target} was another model's name, and its version numbers are never "
            "used again; map it to another name"
        )
    if target.lower() in known.taken:
        yield f"there is a model {target} already; map it to another name"
    for container in (schema, schema.partition(".")[0]):
        twin = known.spelling.get(container.lower(), container)
        if twin != container:
            yield f"{twin} is there, and names compare without case; use that"


def _plan_parts(
    planned: PlannedModel, mapping: Mapping, here: RegisteredModel | None
) -> None:
    """Plan the versions and aliases of a model, given what is here of them."""
    rows = (
        ModelVersion.objects.filter(model=here) if here else ModelVersion.objects.none()
    )
    known = {
        row.number: row for row in rows.only("number", "status", "lineage", "source")
    }
    planned.versions = [
        _plan_version(version, known.get(version.number))
        for version in planned.origin.versions
    ]
    names = Alias.objects.filter(model=here).values_list("name", flat=True)
    taken = {name.lower() for name in names} if here else set()
    renamed = mapping.rule_for(planned.origin.name).aliases
    for old, number in sorted(planned.origin.aliases.items()):
        name = renamed.get(old, old)
        action = Action.HERE if name.lower() in taken else Action.TAKE
        if not name:
            action = Action.SKIP
        elif problem := _alias_problem(name, planned):
            planned.problems.append(problem)
            action = Action.ERROR
        planned.aliases.append(PlannedAlias(name, number, action, old))


def _plan_version(version: OriginVersion, row: ModelVersion | None) -> PlannedVersion:
    if row is None:
        return PlannedVersion(version, Action.TAKE)
    old_name = f"{version.name}/{version.number}"
    if row.lineage.get("adopted_name") != old_name:
        problem = "a version with this number was registered here since"
        in_place = version.source == row.source[:500]
        return PlannedVersion(
            version, Action.HERE if in_place else Action.ERROR, problem=problem
        )
    pending = row.status == VersionStatus.PENDING
    return PlannedVersion(version, Action.FINISH if pending else Action.HERE)


def _alias_problem(name: str, planned: PlannedModel) -> str:
    if name.lower() in {one.name.lower() for one in planned.aliases}:
        return f"two of its aliases are called {name!r} without regard to case; map one"
    try:
        check_alias(name)
    except InvalidParameter as error:
        return f"{error.message} Map it, for instance to {suggest(name)}"
    return ""


def _find_collisions(models: list[PlannedModel]) -> None:
    """Note the old names that would get one new name, compared without case."""
    groups: dict[str, list[PlannedModel]] = defaultdict(list)
    schemas: dict[str, set[str]] = defaultdict(set)
    for model in models:
        if model.action != Action.SKIP:
            groups[model.target.lower()].append(model)
            schema = model.target.rpartition(".")[0]
            schemas[schema.lower()].add(schema)
    for group in groups.values():
        for model in group if len(group) > 1 else []:
            others = [one.origin.name for one in group if one is not model]
            model.problems.append(
                f"{', '.join(others)} would be {model.target} too; map one of them"
            )
    for group in groups.values():
        for model in group:
            twins = schemas[model.target.rpartition(".")[0].lower()]
            if len(twins) > 1:
                model.problems.append(
                    f"{' and '.join(sorted(twins))} differ by case alone; use one"
                )


def _look_for_files(
    models: list[PlannedModel],
    origin: Origin,
    unreadable: Unreadable,
    looked: Callable[[int, int], None],
) -> None:
    todo = [
        (model, version)
        for model in models
        if model.action != Action.SKIP and not model.origin.is_prompt
        for version in model.versions
        if version.action == Action.TAKE
    ]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda pair: _look(pair[1], origin), todo)
        for done, ((model, version), _) in enumerate(
            zip(todo, found, strict=True), start=1
        ):
            looked(done, len(todo))
            if version.problem:
                _without_files(model, version, unreadable)


def _look(version: PlannedVersion, origin: Origin) -> None:
    if version.origin.status != "READY":
        version.problem = f"it was {version.origin.status} in {origin.address}"
        return
    try:
        version.place = find(origin.locate(version.origin), origin)
        version.files = list_files(version.place)
    except (Unreachable, OriginError) as error:
        version.problem = str(error)


def _without_files(
    model: PlannedModel, version: PlannedVersion, unreadable: Unreadable
) -> None:
    if version.origin.status != "READY":
        return  # it failed there, and fails here: nothing is lost
    if unreadable == Unreadable.SKIP:
        version.action = Action.SKIP
    if unreadable == Unreadable.REFUSE:
        model.problems.append(
            f"version {version.origin.number} cannot be read: {version.problem}; "
            "choose with --unreadable"
        )


def staging_of(origin: Origin, version: OriginVersion) -> Path:
    """Return the directory that the files of a version are downloaded to."""
    key = f"{origin.address}\n{version.name}\n{version.number}"
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    path: Path = settings.HOME / "adoption" / name
    return path
