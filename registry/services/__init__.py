"""The registry's services, by noun; call them as `registry.verb_noun(…)`."""

from __future__ import annotations

from registry.experiments import (
    get_experiment,
    readable_experiments,
    require_experiment,
    require_experiment_name,
    require_logged_models,
    require_run,
    require_runs,
)
from registry.services.aliases import (
    adopt_alias,
    break_glass,
    bypass_policy,
    check_alias_move,
    delete_alias,
    get_alias,
    restore_alias,
    set_alias,
)
from registry.services.annotations import (
    delete_version_tag,
    set_version_tag,
    update_version,
)
from registry.services.experiments import (
    create_experiment,
    delete_experiment,
    rename_experiment,
    restore_experiment,
)
from registry.services.loads import consumers_of, record_load
from registry.services.models import (
    create_model,
    delete_model_tag,
    get_model,
    may_register,
    may_tag,
    require_registering,
    set_model_tag,
    update_model,
)
from registry.services.namespaces import (
    create_catalog,
    create_schema,
    delete_catalog,
    delete_schema,
    get_catalog,
    get_metastore,
    get_schema,
    keep,
    update_catalog,
    update_schema,
)
from registry.services.registration import (
    create_version,
    create_version_from_directory,
)
from registry.services.removal import delete_model, delete_version, require_deleting
from registry.services.renames import find_renamed, rename_model
from registry.services.replays import expect_new_version
from registry.services.versions import (
    fail_version,
    finish_prompt_version,
    get_version,
    hold_version,
    report_tampering,
    take_bytes,
    versions_of,
)

__all__ = [
    "adopt_alias",
    "break_glass",
    "bypass_policy",
    "check_alias_move",
    "consumers_of",
    "create_catalog",
    "create_experiment",
    "create_model",
    "create_schema",
    "create_version",
    "create_version_from_directory",
    "delete_alias",
    "delete_catalog",
    "delete_experiment",
    "delete_model",
    "delete_model_tag",
    "delete_schema",
    "delete_version",
    "delete_version_tag",
    "expect_new_version",
    "fail_version",
    "find_renamed",
    "finish_prompt_version",
    "get_alias",
    "get_catalog",
    "get_experiment",
    "get_metastore",
    "get_model",
    "get_schema",
    "get_version",
    "hold_version",
    "keep",
    "may_register",
    "may_tag",
    "readable_experiments",
    "record_load",
    "rename_experiment",
    "rename_model",
    "report_tampering",
    "require_deleting",
    "require_experiment",
    "require_experiment_name",
    "require_logged_models",
    "require_registering",
    "require_run",
    "require_runs",
    "restore_alias",
    "restore_experiment",
    "set_alias",
    "set_model_tag",
    "set_version_tag",
    "take_bytes",
    "update_catalog",
    "update_model",
    "update_schema",
    "update_version",
    "versions_of",
]
