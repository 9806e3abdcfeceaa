"""What people do, and what each thing needs: one table for every face.

`explain`, `simulate`, `who_could`, a page of the documentation and the tests are
made from it. A way is a set of needs that are met together; an operation is
allowed when one of its ways is. `access.authz` decides about single privileges;
here they are put together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import models

from access.privileges import GRANTABLE, Privilege
from core.errors import InvalidParameter

P = Privilege


class Role(models.TextChoices):
    """What lets somebody through and is no privilege."""

    ADMIN = "admin", "the admin role"
    AUDITOR = "auditor", "the auditor role"
    ANYONE = "anyone", "nothing"
    CREATOR = "creator", "to have created this pending version"


Need = tuple[Privilege | Role, int]  # what, and how many levels above the object


@dataclass(frozen=True)
class Way:
    """One way to be let through: every need, and the borders on the path."""

    needs: tuple[Need, ...]
    passes_borders: bool = True
    # counts only where the catalog has `delegated_versions` on
    is_delegated: bool = False
    # counts only while the installation has break-glass on
    breaks_glass: bool = False

    def words(self) -> str:
        """Say the needs as the reference does; B is the USE of every container."""
        said = [_words(need) for need in self.needs]
        said += ["B"] if self.passes_borders else []
        where = " where the catalog delegates versions" if self.is_delegated else ""
        return " and ".join(said) + where


def _words(need: Need) -> str:
    what, level = need
    return what.label + ("", " on the container", " on the catalog")[level]


@dataclass(frozen=True)
class Operation:
    """Something that one can do with an object of some kinds."""

    code: str
    name: str
    words: str
    kinds: tuple[str, ...]
    ways: tuple[Way, ...]
    # the owners of the containers may, too
    by_container_owners: bool = False
    # what it needs besides, said in words
    conditions: tuple[str, ...] = ()

    def needs_words(self) -> str:
        """Say what it needs, as the reference does."""
        said = [way.words() for way in self.ways]
        said += ["ownership of a container"] if self.by_container_owners else []
        return ", or ".join(said)


def _has(privilege: Privilege, **more: Any) -> Way:
    return Way(((privilege, 0),), **more)


def _is(role: Role, **more: Any) -> Way:
    return Way(((role, 0),), passes_borders=False, **more)


_METASTORE, _CATALOG, _SCHEMA = ("metastore",), ("catalog",), ("schema",)
_MODEL, _VERSION = ("registeredmodel",), ("modelversion",)
_PIPELINE, _ENDPOINT, _EXPERIMENT = ("pipeline",), ("endpoint",), ("experiment",)
_DATASET = ("dataset",)
_SECURABLE = tuple(GRANTABLE)
_INSIDE = tuple(kind for kind in GRANTABLE if kind != "metastore")

_OWNER = _has(P.OWN)
_EXECUTE = _has(P.EXECUTE)
_ANYONE = _is(Role.ANYONE)
# power over an object: the owner's even where the borders are closed
_POWER = (_has(P.OWN, passes_borders=False), _has(P.MANAGE))
_BROWSE = _has(P.BROWSE, passes_borders=False)
_LOOK = (_EXECUTE, _has(P.APPROVE), *_POWER)  # BROWSE shows no version
_SEE = (*_LOOK, _BROWSE)
_USE_CATALOG, _USE_SCHEMA = _has(P.USE_CATALOG), _has(P.USE_SCHEMA)
_DELEGATED = _has(P.CREATE_MODEL_VERSION, is_delegated=True)
_READ = (_has(P.READ_EXPERIMENT), _has(P.EDIT_EXPERIMENT))
_GLASS = _is(Role.ADMIN, breaks_glass=True)
_AUDITOR = _is(Role.AUDITOR)
_RENAME = Way(((P.OWN, 0), (P.CREATE_MODEL, 1)))

_TWICE = ("Asked when the alias is resolved, and again for the bytes.",)
_RUN_AS = ("The endpoint's run-as principal may download the files of the model.",)
_PROTECTED = ("A protected alias also needs an approved request.",)
_REASON = ("A reason is required, and an event tells of it.",)
_UNUSED = ("Refused while an alias points at it or an endpoint serves it.",)
_OWN_ALWAYS = ("One's own always.",)
_COOLING = ("A cooling period follows, in which neither takes part in approvals.",)
_TARGET = ("At the destination P-10, or P-3 for a new model.",)
_FOUR_EYES = (
    "Not by who made the version, started its run or asked, nor by who owns the "
    "model or did within the cooling period.",
)
_HIDDEN = ("What one may not see is shown as a hidden object.",)
_KNOWN = ("One sees it, or knows its full name.",)
_REGISTERS = ("The run-as principal may do P-10, or P-3 for a new model.",)

_Op = Operation  # short, so that a row is a line
# fmt: off
OPERATIONS: tuple[Operation, ...] = (
    _Op("P-1", "create_catalog", "create a catalog", _METASTORE, (_has(P.CREATE_CATALOG),)),
    _Op("P-2", "create_schema", "create a schema", _CATALOG, (_has(P.CREATE_SCHEMA),)),
    _Op("P-3", "create_model", "create a model", _SCHEMA, (_has(P.CREATE_MODEL),)),
    _Op("P-4", "see_catalog", "see that it is there", _CATALOG,
        (_USE_CATALOG, *_POWER, _BROWSE)),
    _Op("P-4", "see_schema", "see that it is there", _SCHEMA,
        (_USE_SCHEMA, *_POWER, _BROWSE), True),
    _Op("P-4", "see_model", "see name, description and tags", _MODEL, _SEE, True),
    _Op("P-4", "see_experiment", "see name and tags", _EXPERIMENT,
        (*_READ, *_POWER, _BROWSE), True),
    _Op("P-5", "see_versions", "see versions, also by alias", _MODEL, _LOOK, True),
    _Op("P-6", "download_files", "download the files", _MODEL, (_EXECUTE,)),
    _Op("P-7", "load_by_alias", "load by alias", _MODEL, (_EXECUTE,), False, _TWICE),
    _Op("P-8", "deploy_version", "deploy a version", _ENDPOINT,
        (_has(P.SHIFT_TRAFFIC),), False, _RUN_AS),
    _Op("P-9", "query_endpoint", "send a request", _ENDPOINT,
        (_has(P.QUERY, passes_borders=False),)),
    _Op("P-10", "create_version", "register a version", _MODEL, (_OWNER, _DELEGATED)),
    _Op("P-11", "upload_files", "upload files of a version", _VERSION, (_is(Role.CREATOR),)),
    _Op("P-12", "finalize_version", "finalize a version", _VERSION, (_is(Role.CREATOR),)),
    _Op("P-13", "move_alias", "set, move or delete an alias", _MODEL,
        (_OWNER,), False, _PROTECTED),
    _Op("P-13", "break_glass", "set a protected alias at once", _MODEL,
        (_GLASS,), False, _REASON),
    _Op("P-14", "update_model", "change the description", _MODEL, (_OWNER,)),
    _Op("P-14", "rename_model", "rename it", _MODEL, (_RENAME,)),
    _Op("P-15", "update_version", "change a version's description", _MODEL, (_OWNER,)),
    _Op("P-16", "apply_tag", "set or delete a tag of it or a version", _MODEL,
        (_has(P.APPLY_TAG),)),
    _Op("P-17", "delete", "delete it, or a version of it", _INSIDE,
        (_OWNER, _has(P.MANAGE)), True, _UNUSED),
    _Op("P-18", "see_grants", "see all grants", _SECURABLE, _POWER, True),
    _Op("P-19", "see_own_grants", "see one's own grants", _SECURABLE, (_ANYONE,)),
    _Op("P-20", "change_grants", "grant and revoke", _SECURABLE, _POWER, True),
    _Op("P-21", "grant_use", "grant USE CATALOG or USE SCHEMA on it",
        (*_CATALOG, *_SCHEMA), _POWER, True),
    _Op("P-22", "transfer_ownership", "transfer ownership", _SECURABLE, _POWER, True,
        _COOLING),
    _Op("P-23", "see_effective", "see effective privileges", _SECURABLE, _POWER, True,
        _OWN_ALWAYS),
    _Op("P-24", "copy_version", "copy a version to another model", _MODEL, (_EXECUTE,),
        False, _TARGET),
    _Op("P-25", "connect", "connect a policy or a training pipeline", _MODEL, _POWER, True),
    _Op("P-26", "decide_approval", "decide an approval", _MODEL, (_has(P.APPROVE),), False,
        _FOUR_EYES),
    _Op("P-27", "see_lineage", "see lineage", _MODEL, _LOOK, True, _HIDDEN),
    _Op("P-28", "ask_for_access", "ask for access", _SECURABLE, (_ANYONE,), False, _KNOWN),
    _Op("P-29", "train_and_register", "train, and register the result", _PIPELINE,
        (_has(P.RUN_TRAINING),), False, _REGISTERS),
    _Op("P-29", "read_data", "read the files of its snapshots", _DATASET,
        (_has(P.READ_DATASET),)),
    _Op("P-30", "create_webhook", "subscribe a webhook", _INSIDE, _POWER, True),
    _Op("P-31", "read_audit", "read the audit log of it", _SECURABLE,
        (*_POWER, _AUDITOR), True),
    _Op("P-32", "start_training", "start or schedule a training run", _PIPELINE,
        (_has(P.RUN_TRAINING),)),
    _Op("P-32", "start_scoring", "start or schedule a scoring run", _PIPELINE,
        (_has(P.RUN_SCORING),)),
)
# fmt: on

BY_NAME = {operation.name: operation for operation in OPERATIONS}


def operations_on(kind: str) -> list[Operation]:
    """Return the operations on objects of a kind, in the order of the table."""
    return [operation for operation in OPERATIONS if kind in operation.kinds]


def find_operation(name: str, kind: str) -> Operation:
    """Return an operation by its name. Raises InvalidParameter naming those there are."""
    found = BY_NAME.get(name.strip().lower())
    if found is None or kind not in found.kinds:
        known = ", ".join(operation.name for operation in operations_on(kind))
        raise InvalidParameter(
            f"operation {name!r} cannot be done with a {kind}. These can: {known}."
        )
    return found
