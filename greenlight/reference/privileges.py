"""The page of privileges, from the table of what may be granted on what."""

from __future__ import annotations

from access.privileges import EXCLUDED_FROM_ALL, GRANTABLE, Privilege
from greenlight.reference.markdown import table

P = Privilege

_NAMES = {"registeredmodel": "model"}
_IMPLICIT = {P.OWN}
_MEANINGS = {
    P.CREATE_CATALOG: "create catalogs",
    P.USE_CATALOG: "pass the border of the catalog: needed for all inside, enough for nothing",
    P.USE_SCHEMA: "pass the border of the schema, as USE CATALOG does for the catalog",
    P.CREATE_SCHEMA: "create schemas in the catalog",
    P.CREATE_MODEL: "create models in the schema; who creates one owns it",
    P.CREATE_MODEL_VERSION: "register versions without owning the model, where the catalog has "
    "`delegated_versions` on",
    P.EXECUTE: "read a model with all its versions, download, load and deploy it",
    P.APPLY_TAG: "set and delete tags of a model and its versions",
    P.BROWSE: "see that objects exist, with name, comment and tags; no bytes, no borders",
    P.MANAGE: "grant, revoke, transfer ownership and delete; no right to data",
    P.APPROVE: "decide approval requests for aliases, under four eyes",
    P.CREATE_PIPELINE: "create training pipelines and packages in the schema",
    P.CREATE_DATASET: "create datasets in the schema",
    P.CREATE_ENDPOINT: "create endpoints in the schema",
    P.CREATE_EXPERIMENT: "create MLflow experiments in the schema",
    P.RUN_TRAINING: "start training runs",
    P.RUN_SCORING: "start scoring runs",
    P.READ_DATASET: "read the snapshots of a dataset",
    P.WRITE_DATASET: "add snapshots to a dataset",
    P.READ_EXPERIMENT: "read an experiment's runs, metrics and files",
    P.EDIT_EXPERIMENT: "log runs, metrics and files to an experiment",
    P.QUERY: "send requests to an endpoint; needs no border",
    P.SHIFT_TRAFFIC: "change which version an endpoint serves, and steer rollouts",
    P.ALL_PRIVILEGES: "every privilege that applies and is in it, also those invented later",
}

_INTRODUCTION = """\
# Privileges

A privilege is granted to a person, a service or a group on a securable, and holds for everything in it, now and later;
grants on the metastore are not inherited. Spell it with spaces or with underscores. How the rules work together is in
[permissions](../explanation/permissions.md), what each operation needs in [operations](operations.md).
"""


def page() -> str:
    """Return the page in Markdown."""
    rows = [
        (
            f"**{privilege.label}**",
            ", ".join(_grantable_on(privilege)),
            "no" if privilege in EXCLUDED_FROM_ALL else "yes",
            _MEANINGS[privilege],
        )
        for privilege in Privilege
        if privilege not in _IMPLICIT
    ]
    header = ("privilege", "granted on", "in ALL PRIVILEGES", "lets one")
    return f"{_INTRODUCTION}\n{table(header, rows)}"


def _grantable_on(privilege: Privilege) -> list[str]:
    return [
        _NAMES.get(kind, kind)
        for kind, privileges in GRANTABLE.items()
        if privilege in privileges
    ]
