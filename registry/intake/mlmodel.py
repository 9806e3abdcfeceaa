"""What MLmodel says: flavours, files, signature. Read as data; nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from core.errors import InvalidParameter
from registry.artifacts.trees import Tree, checked

MLMODEL = "MLmodel"
# ten times as fast, where PyYAML was built with it
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 100
_MOST_BYTES = 16 * 2**20
# What a flavour's loader joins to the directory of the model.
_PATH_KEYS = frozenset(
    {
        "adapter_weights",
        "code",
        "data",
        "env",
        "model_binary",
        "model_data",
        "model_path",
        "parameters_path",
        "path",
        "pickled_model",
        "python_model",
        "saved_model_dir",
        "serialized_explainer",
        "vocab_path",
        "weight_name",
    }
)


@dataclass(frozen=True)
class MLmodel:
    """The parts of MLmodel that we use."""

    flavors: dict[str, dict[str, Any]]
    signature: dict[str, Any] | None

    @property
    def pyfunc(self) -> dict[str, Any]:
        return self.flavors.get("python_function", {})

    @property
    def has_full_signature(self) -> bool:
        """Tell whether inputs and outputs are both described."""
        given = self.signature or {}
        return bool(given.get("inputs")) and bool(given.get("outputs"))


def read_mlmodel(tree: Tree) -> MLmodel:
    """Read MLmodel. Raises InvalidParameter when it is missing, broken or escapes."""
    content = _parse(_text(tree))
    flavors = content.get("flavors")
    if not isinstance(flavors, dict) or not flavors:
        raise InvalidParameter("MLmodel names no flavors.")
    if not all(isinstance(flavor, dict) for flavor in flavors.values()):
        raise InvalidParameter("MLmodel: every flavor must be a mapping.")
    for name, flavor in flavors.items():
        _require_inside(f"flavors.{name}", flavor)
    example = content.get("saved_input_example_info")
    if isinstance(example, dict) and "artifact_path" in example:
        _require_path(
            "saved_input_example_info.artifact_path", example["artifact_path"]
        )
    signature = content.get("signature")
    return MLmodel(flavors, signature if isinstance(signature, dict) else None)


def _text(tree: Tree) -> bytes:
    try:
        with tree.open(MLMODEL) as reader:
            text = reader.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise InvalidParameter(
            "source holds no MLmodel file; log the model with MLflow first."
        ) from error
    if len(text) > _MOST_BYTES:
        raise InvalidParameter(f"MLmodel is longer than {_MOST_BYTES} bytes.")
    return text


def _parse(text: bytes) -> dict[str, Any]:
    try:
        _require_flat(text)
        content = yaml.load(text, Loader=_Loader)  # noqa: S506  # both are safe
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidParameter(f"MLmodel is not valid YAML: {error}.") from error
    if not isinstance(content, dict):
        raise InvalidParameter("MLmodel must be a mapping.")
    return content


def _require_flat(text: bytes) -> None:
    """Refuse deep nesting: the loader in C would fall off its stack, and we with it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST}")


def _require_inside(where: str, flavor: dict[str, Any]) -> None:
    """Refuse a flavour that names a file outside of the model."""
    for key in _PATH_KEYS & flavor.keys():
        for value in _strings(flavor[key]):
            _require_path(f"{where}.{key}", value)
    artifacts = flavor.get("artifacts")
    for name, artifact in artifacts.items() if isinstance(artifacts, dict) else ():
        if isinstance(artifact, dict) and artifact.get("path") is not None:
            _require_path(f"{where}.artifacts.{name}.path", artifact["path"])


def _strings(value: Any) -> Iterator[Any]:
    """Yield the paths of a field: one, a list of them, or one for each kind."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
    elif value is not None:
        yield value


def _require_path(where: str, value: Any) -> None:
    plain = value.removeprefix("./").rstrip("/") if isinstance(value, str) else None
    try:
        if plain is None:
            raise InvalidParameter("not a text")
        checked("" if plain == "." else plain)
    except InvalidParameter as error:
        raise InvalidParameter(
            f"MLmodel: {where} is {str(value)[:200]!r}; it must name a file or a "
            "directory inside the model."
        ) from error
