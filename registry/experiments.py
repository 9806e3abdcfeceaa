"""Who may go how far into an experiment, its runs and its logged models.

MLflow's tables know runs and logged models; the rights are those of the experiment
that they are in. To let through costs one query, to refuse a few more.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

from django.db import connection
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from access.authz import require, satisfied, shows_metadata
from access.facts import Fact, facts_of, facts_where
from access.models import User
from access.privileges import Privilege
from core.errors import InvalidParameter, NotFound, PermissionDenied
from registry.models import Experiment
from registry.store import tracking_store

# Up to so many experiments are asked one by one: that is cheaper than the one
# statement for any number of them, which takes longer to make than to run.
_FEW = 10


class Level(Enum):
    """How far into an experiment a request goes."""

    SEE = "see"
    READ = "read"
    EDIT = "edit"
    MANAGE = "manage"


# Level -> any of these is enough; the first is what is asked for in a refusal.
# To see an experiment is to see its metadata (rule P-4).
_PRIVILEGES = {
    Level.SEE: (Privilege.READ_EXPERIMENT,),
    Level.READ: (Privilege.READ_EXPERIMENT, Privilege.EDIT_EXPERIMENT),
    Level.EDIT: (Privilege.EDIT_EXPERIMENT,),
    Level.MANAGE: (Privilege.MANAGE,),
}
# What is in an experiment -> MLflow's table and key.
_TABLES = {"run": ("runs", "run_uuid"), "logged model": ("logged_models", "model_id")}
_BY_ID = "t0.experiment_id = %(key)s"
_BY_CONTENT = {
    what: "t0.experiment_id = (SELECT CAST(x.experiment_id AS varchar(32))"
    f" FROM {table} x WHERE x.{key} = %(key)s)"
    for what, (table, key) in _TABLES.items()
}


def get_experiment(experiment_id: str) -> Experiment:
    """Return an experiment by MLflow's id. Raises NotFound."""
    found: Experiment | None = _rows().filter(experiment_id=experiment_id).first()
    if found is None:
        raise NotFound(_no_experiment(experiment_id))
    return found


def get_experiment_by_name(name: str) -> Experiment | None:
    found: Experiment | None = _rows().filter(name=name).first()
    return found


def is_visible(experiment: Experiment, principal: User) -> bool:
    """Tell whether the principal may see the experiment's metadata."""
    return _reaches(principal, Level.SEE, experiment)


def require_experiment(
    experiment_id: str, level: Level = Level.READ, *, principal: User
) -> None:
    """Let a principal through that may go so far in an experiment; one query.

    Raises NotFound when it may not know of it, else PermissionDenied.
    """
    if not _reaches_where(principal, level, _BY_ID, experiment_id):
        found = get_experiment(experiment_id)
        raise _refusal(found, level, principal, _no_experiment(experiment_id))


def require_experiment_name(name: str, level: Level, *, principal: User) -> Experiment:
    """Return an experiment by name, in which the principal may go so far.

    A private name that somebody else has is refused in words, not as missing: the
    client would try to create it next, and could not.
    """
    found = get_experiment_by_name(name)
    if found is None:
        raise NotFound(f"No experiment {name!r} that you may see.")
    if not _reaches(principal, level, found):
        if found.schema is None:
            raise PermissionDenied(taken(name))
        raise _refusal(found, level, principal, f"No experiment {name!r} of yours.")
    return found


def taken(name: str) -> str:
    """Return what is said of a private name that somebody else has."""
    return f"The experiment {name!r} belongs to someone else; choose another name."


def require_run(run_id: str, level: Level = Level.READ, *, principal: User) -> None:
    """Let a principal through to the experiment of a run. Raises NotFound."""
    _require_of("run", [run_id], level, principal)


def require_runs(run_ids: Iterable[str], level: Level, *, principal: User) -> None:
    """Let a principal through to the experiments of all of the runs."""
    _require_of("run", run_ids, level, principal)


def require_logged_models(
    model_ids: Iterable[str], level: Level = Level.READ, *, principal: User
) -> None:
    """Let a principal through to the experiments of all of the logged models."""
    _require_of("logged model", model_ids, level, principal)


def readable_experiments(ids: list[str], *, principal: User) -> list[str]:
    """Return those of the ids whose experiments the principal may read."""
    rows = list(_rows().filter(experiment_id__in=set(ids)))
    readable = _reached(rows, Level.READ, principal)
    return [experiment_id for experiment_id in ids if experiment_id in readable]


def newest_runs(
    experiment: Experiment, page_token: str, limit: int, *, principal: User
) -> tuple[list[Run], str]:
    """Return a page of the runs of an experiment, newest first, and the next token.

    Raises InvalidParameter for a token that is not one of MLflow's.
    """
    require_experiment(experiment.experiment_id, principal=principal)
    try:
        found = tracking_store().search_runs(
            [experiment.experiment_id],
            "",
            ViewType.ACTIVE_ONLY,
            max_results=limit,
            order_by=["attributes.start_time DESC"],
            page_token=page_token or None,
        )
    except (MlflowException, ValueError) as error:
        raise InvalidParameter("page_token: start again without it.") from error
    return list(found), found.token or ""


def _require_of(what: str, ids: Iterable[str], level: Level, principal: User) -> None:
    wanted = sorted(set(ids))
    if len(wanted) == 1 and _reaches_where(
        principal, level, _BY_CONTENT[what], wanted[0]
    ):
        return
    experiment_of = _experiments_of(what, wanted)
    rows = _rows().filter(experiment_id__in=set(experiment_of.values()))
    known = {row.experiment_id: row for row in rows}
    reached = _reached(list(known.values()), level, principal)
    for one in wanted:
        experiment_id = experiment_of.get(one, "")
        if experiment_id not in reached:
            unknown = f"No {what} {one} that you may see."
            raise _refusal(known.get(experiment_id), level, principal, unknown)


def _experiments_of(what: str, ids: list[str]) -> dict[str, str]:
    """Return the experiment of each row of one of MLflow's tables that is there."""
    table, key = _TABLES[what]
    marks = ", ".join(["%s"] * len(ids))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {key}, experiment_id FROM {table} WHERE {key} IN ({marks})", ids
        )
        return {one: str(experiment_id) for one, experiment_id in cursor.fetchall()}


def _rows() -> Any:
    return Experiment.objects.select_related(
        "owner", "schema__owner", "schema__catalog__owner"
    )


def _reached(rows: list[Experiment], level: Level, principal: User) -> set[str]:
    """Return the ids of the experiments in which the principal may go so far."""
    if len(rows) <= _FEW:
        reached = [row for row in rows if _reaches(principal, level, row)]
        return {row.experiment_id for row in reached}
    found = Experiment.objects.none()
    for privilege in _PRIVILEGES[level]:
        found |= Experiment.objects.allowed(principal, privilege)
    among = found.filter(pk__in=[row.pk for row in rows])
    return set(among.values_list("experiment_id", flat=True))


def _reaches(principal: User, level: Level, experiment: Experiment) -> bool:
    return _reach(principal, level, facts_of(principal, experiment))


def _reaches_where(principal: User, level: Level, condition: str, key: str) -> bool:
    facts = facts_where(principal, Experiment, condition, key)
    return facts is not None and _reach(principal, level, facts)


def _reach(principal: User, level: Level, facts: frozenset[Fact]) -> bool:
    if level == Level.SEE:
        return shows_metadata(principal, Experiment, facts)
    return any(
        satisfied(principal, privilege, Experiment, facts)
        for privilege in _PRIVILEGES[level]
    )


def _refusal(
    experiment: Experiment | None, level: Level, principal: User, unknown: str
) -> NotFound | PermissionDenied:
    """Return what to raise; for what is hidden, only what the caller named himself."""
    if experiment is not None:
        try:
            require(principal, _PRIVILEGES[level][0], experiment)
        except PermissionDenied as refusal:
            return refusal
        except NotFound:
            pass
    return NotFound(unknown)


def _no_experiment(experiment_id: str) -> str:
    return (
        f"No experiment {experiment_id} that you may see; call set_experiment() with "
        "a name of your own first."
    )
