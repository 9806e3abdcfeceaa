"""The privileges, and where each may be granted."""

from __future__ import annotations

from django.db import models

from core.errors import InvalidParameter


class Privilege(models.TextChoices):
    """A right that can be granted. OWN is ownership: never granted, only had."""

    CREATE_CATALOG = "create_catalog", "CREATE CATALOG"
    USE_CATALOG = "use_catalog", "USE CATALOG"
    USE_SCHEMA = "use_schema", "USE SCHEMA"
    CREATE_SCHEMA = "create_schema", "CREATE SCHEMA"
    CREATE_MODEL = "create_model", "CREATE MODEL"
    CREATE_MODEL_VERSION = "create_model_version", "CREATE MODEL VERSION"
    EXECUTE = "execute", "EXECUTE"
    APPLY_TAG = "apply_tag", "APPLY TAG"
    BROWSE = "browse", "BROWSE"
    MANAGE = "manage", "MANAGE"
    APPROVE = "approve", "APPROVE"
    CREATE_PIPELINE = "create_pipeline", "CREATE PIPELINE"
    CREATE_DATASET = "create_dataset", "CREATE DATASET"
    CREATE_ENDPOINT = "create_endpoint", "CREATE ENDPOINT"
    CREATE_EXPERIMENT = "create_experiment", "CREATE EXPERIMENT"
    RUN_TRAINING = "run_training", "RUN TRAINING"
    RUN_SCORING = "run_scoring", "RUN SCORING"
    READ_DATASET = "read_dataset", "READ DATASET"
    WRITE_DATASET = "write_dataset", "WRITE DATASET"
    READ_EXPERIMENT = "read_experiment", "READ EXPERIMENT"
    EDIT_EXPERIMENT = "edit_experiment", "EDIT EXPERIMENT"
    QUERY = "query", "QUERY"
    SHIFT_TRAFFIC = "shift_traffic", "SHIFT TRAFFIC"
    ALL_PRIVILEGES = "all_privileges", "ALL PRIVILEGES"
    OWN = "own", "ownership"


P = Privilege

# Not in ALL PRIVILEGES: they steer what others do, or are no grant at all.
EXCLUDED_FROM_ALL = frozenset(
    {P.CREATE_CATALOG, P.MANAGE, P.APPROVE, P.SHIFT_TRAFFIC, P.ALL_PRIVILEGES, P.OWN}
)

_EVERYWHERE = (P.MANAGE, P.ALL_PRIVILEGES)
_MODEL = (P.CREATE_MODEL_VERSION, P.EXECUTE, P.APPLY_TAG, P.APPROVE)
_PIPELINE = (P.RUN_TRAINING, P.RUN_SCORING)
_DATASET = (P.READ_DATASET, P.WRITE_DATASET)
_EXPERIMENT = (P.READ_EXPERIMENT, P.EDIT_EXPERIMENT)
_ENDPOINT = (P.QUERY, P.SHIFT_TRAFFIC)
_SCHEMA = (
    P.USE_SCHEMA,
    P.CREATE_MODEL,
    P.CREATE_PIPELINE,
    P.CREATE_DATASET,
    P.CREATE_ENDPOINT,
    P.CREATE_EXPERIMENT,
    *_MODEL,
    *_PIPELINE,
    *_DATASET,
    *_EXPERIMENT,
    *_ENDPOINT,
)

# Securable (by model name) -> the privileges that may be granted on it.
GRANTABLE: dict[str, tuple[Privilege, ...]] = {
    "metastore": (P.CREATE_CATALOG, P.MANAGE),
    "catalog": (P.USE_CATALOG, P.CREATE_SCHEMA, P.BROWSE, *_SCHEMA, *_EVERYWHERE),
    "schema": (*_SCHEMA, *_EVERYWHERE),
    "registeredmodel": (*_MODEL, *_EVERYWHERE),
    "pipeline": (*_PIPELINE, *_EVERYWHERE),
    "dataset": (*_DATASET, *_EVERYWHERE),
    "experiment": (*_EXPERIMENT, *_EVERYWHERE),
    "endpoint": (*_ENDPOINT, *_EVERYWHERE),
}


def parse_privilege(text: str, securable: str) -> Privilege:
    """Read a privilege spelt with spaces or underscores, in any case.

    Raises InvalidParameter naming the privileges that apply to the securable.
    """
    applicable = GRANTABLE[securable]
    name = text.strip().lower().replace(" ", "_")
    if name not in {privilege.value for privilege in applicable}:
        known = ", ".join(sorted(privilege.label for privilege in applicable))
        raise InvalidParameter(
            f"{text!r} cannot be granted on a {securable}. These can: {known}."
        )
    return Privilege(name)
