"""The environment variables that a run gives to its training code."""

from __future__ import annotations

import re

from core.errors import InvalidParameter
from runners import blobs
from runners.packages import DATA

ARTIFACTS, SAVE_DATA = "artifacts_directory", "save_training_data"
DEFAULTS = {ARTIFACTS: "artifacts", SAVE_DATA: "false"}

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_RESERVED = ("GREENLIGHT_", "AIP_", "CLOUD_ML_", "LD_", "PYTHON", "MLFLOW_TRACKING_")
_OURS = frozenset({"PATH", "HOME", "TMPDIR", "LANG", "data_directory"})
_SAVE_DATA_ALIAS = "save_data"
_MAX_BYTES = 64 * 2**10


def check(parameters: dict[str, str]) -> dict[str, str]:
    """Return parameters in their one spelling. Raises InvalidParameter."""
    for name, value in parameters.items():
        _check_name(name)
        if "\0" in value:
            raise InvalidParameter(f"The value of parameter {name!r} holds a NUL.")
    if sum(len(name) + len(value) for name, value in parameters.items()) > _MAX_BYTES:
        raise InvalidParameter(f"The parameters exceed {_MAX_BYTES} characters.")
    checked = _one_name_for_save_data(parameters)
    _check_artifacts_directory(checked.get(ARTIFACTS, DEFAULTS[ARTIFACTS]))
    return checked


def merge(*layers: dict[str, str]) -> dict[str, str]:
    """Return the defaults overlaid by each layer in turn."""
    merged = dict(DEFAULTS)
    for layer in layers:
        merged.update(layer)
    return merged


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidParameter(
            f"The parameter {name!r} becomes an environment variable: use letters, "
            "digits and '_', not starting with a digit."
        )
    if name in _OURS or name.upper().startswith(_RESERVED):
        raise InvalidParameter(f"The parameter {name!r} is reserved; choose another.")


def _one_name_for_save_data(parameters: dict[str, str]) -> dict[str, str]:
    """Accept `save_data` for `save_training_data`: documents use both names."""
    checked = dict(parameters)
    alias = checked.pop(_SAVE_DATA_ALIAS, None)
    if alias is not None and checked.setdefault(SAVE_DATA, alias) != alias:
        raise InvalidParameter(
            f"{SAVE_DATA} and {_SAVE_DATA_ALIAS} mean the same and differ; give one."
        )
    if SAVE_DATA in checked:
        checked[SAVE_DATA] = checked[SAVE_DATA].lower()
        if checked[SAVE_DATA] not in {"true", "false"}:
            raise InvalidParameter(f"{SAVE_DATA} must be 'true' or 'false'.")
    return checked


def _check_artifacts_directory(path: str) -> None:
    blobs.safe_path(path, ARTIFACTS)
    if path.split("/")[0] == DATA:
        raise InvalidParameter(f"{ARTIFACTS} {path!r} lies in the read-only dataset.")
