"""MLflow's prompts: registered models whose versions are texts, kept in tags.

They have no files. What is approved and cannot change is the text with its type
and the format of its answers; their digest is the version's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from core.errors import InvalidParameter
from registry.models import ModelVersion, RegisteredModel
from registry.store import store

IS_PROMPT = "mlflow.prompt.is_prompt"
TEXT = "mlflow.prompt.text"
# MLflow's readers link a prompt to the experiment that they work in
EXPERIMENTS = "_mlflow_experiment_ids"
_CONTENT = (TEXT, "_mlflow_prompt_type", "_mlflow_prompt_response_format")
# what MLflow's clients send where a model would have a source
_SOURCES = frozenset({"dummy-source", "prompt-template"})


def is_marked(tags: Mapping[str, str]) -> bool:
    """Tell whether the tags of a new model or version make it a prompt.

    Raises InvalidParameter for a mark that MLflow's clients read in two ways.
    """
    mark = tags.get(IS_PROMPT)
    if mark not in {None, "true"}:
        raise InvalidParameter(f"The tag {IS_PROMPT} is 'true', or it is not there.")
    return mark is not None


def check_new_version(
    model: RegisteredModel, source: str, tags: Mapping[str, str]
) -> None:
    """Refuse a model as a version of a prompt, and the reverse."""
    if is_marked(tags) != model.is_prompt:
        kind, other = ("prompt", "model") if model.is_prompt else ("model", "prompt")
        raise InvalidParameter(
            f"{model.full_name} is a {kind}; a {other} cannot be its version. "
            "Choose another name."
        )
    if not model.is_prompt:
        return
    if source not in _SOURCES:
        raise InvalidParameter("source of a prompt must be 'dummy-source'.")
    if not tags.get(TEXT):
        raise InvalidParameter(f"A prompt needs its text in the tag {TEXT}.")


def check_model_tag(key: str) -> None:
    """Refuse to turn a model into a prompt, or a prompt into a model."""
    if key == IS_PROMPT:
        raise InvalidParameter(
            f"The tag {key} is set once, when a prompt is registered."
        )


def check_version_tag(model: RegisteredModel, key: str) -> None:
    """Refuse to change what a version of a prompt is."""
    check_model_tag(key)
    if model.is_prompt and key in _CONTENT:
        raise InvalidParameter(
            f"The tag {key} is the prompt itself, which is immutable; register "
            "another version."
        )


def digest_of(tags: Mapping[str, str]) -> str:
    """Return the sha-256 over the canonical JSON of what a prompt consists of."""
    content = {key: tags[key] for key in _CONTENT if key in tags}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def verify(version: ModelVersion) -> list[str]:
    """Hash the text again that readers get; return what differs from the digest."""
    name, number = version.model.full_name, str(version.number)
    if digest_of(store().get_model_version(name, number).tags) == version.digest:
        return []
    return [f"the text of {version.full_name} was changed"]
