"""What a model must be like to be registered; read as data, never loaded.

The checks look at the copy in the governed store, not at the source, which
somebody could exchange between the look and the copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from core.errors import InvalidParameter
from registry.artifacts.trees import Entry, Tree
from registry.intake.code import CODE, Finding, find_code
from registry.intake.mlmodel import read_mlmodel
from registry.models import Catalog, CodePolicy

__all__ = ["LENIENT", "Inspection", "Rules", "inspect", "require_size", "rules_of"]

_MOST_FINDINGS = 50


@dataclass(frozen=True)
class Rules:
    """What a catalog asks of its models."""

    catalog: str
    require_signature: bool
    code_policy: str


LENIENT = Rules("", require_signature=False, code_policy=CodePolicy.ALLOW)


def rules_of(catalog: Catalog) -> Rules:
    """Return the rules of a catalog."""
    return Rules(catalog.name, catalog.require_signature, catalog.code_policy)


@dataclass(frozen=True)
class Inspection:
    """What the checks found in a model that passed them."""

    signature: dict[str, Any] | None
    code_findings: list[dict[str, str]]


def require_size(files: list[Entry]) -> None:
    """Raise InvalidParameter when a model has too many files or bytes."""
    size = sum(entry.size for entry in files)
    if size > settings.MAX_MODEL_BYTES:
        raise InvalidParameter(
            f"The model has {size} bytes; the limit is {settings.MAX_MODEL_BYTES} "
            "(GREENLIGHT_MAX_MODEL_BYTES)."
        )
    if len(files) > settings.MAX_MODEL_FILES:
        raise InvalidParameter(
            f"The model has {len(files)} files; the limit is "
            f"{settings.MAX_MODEL_FILES} (GREENLIGHT_MAX_MODEL_FILES)."
        )


def inspect(tree: Tree, files: list[Entry], rules: Rules) -> Inspection:
    """Check a model by the rules of a catalog.

    Raises InvalidParameter with what is wrong and what to do.
    """
    mlmodel = read_mlmodel(tree)
    if rules.require_signature and not mlmodel.has_full_signature:
        raise InvalidParameter(
            "The model has no signature with inputs and outputs. Log it with "
            "input_example=…, or with signature=mlflow.models.infer_signature(X, "
            f"predictions); or let the owner of {rules.catalog} switch off "
            "require_signature."
        )
    findings = find_code(tree, files, mlmodel)
    _require_policy(findings, rules)
    listed = [finding.as_json() for finding in findings[:_MOST_FINDINGS]]
    return Inspection(mlmodel.signature, listed)


def _require_policy(findings: list[Finding], rules: Rules) -> None:
    """Refuse what the catalog's code policy does not let in."""
    if rules.code_policy == CodePolicy.ALLOW:
        return
    refused = [f for f in findings if f.kind != CODE]
    if rules.code_policy == CodePolicy.BLOCK:
        refused = findings
    if not refused:
        return
    first = refused[0]
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    raise InvalidParameter(
        f"{first.path}: {first.detail}{more}. The code policy of {rules.catalog} is "
        f"{rules.code_policy}. Save the model in a format that holds only data "
        "(skops, ONNX, safetensors, the library's own), or without code of your own."
    )
