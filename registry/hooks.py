"""What the apps above the registry have to say before it changes something.

They are named by dotted paths in `greenlight.subscriptions`, so that nothing here
imports upward. Each runs inside the registry's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from registry.models import ModelVersion, RegisteredModel


class UsesOfModel(Protocol):
    """Say in words what uses a model, each a reason not to delete it."""

    def __call__(self, model: RegisteredModel) -> list[str]: ...


class UsesOfVersion(Protocol):
    """Say in words what uses a version, each a reason not to delete it."""

    def __call__(self, version: ModelVersion) -> list[str]: ...


class FollowRename(Protocol):
    """Write the new name wherever the old one was written down."""

    def __call__(self, model: RegisteredModel, old_name: str) -> None: ...


def uses_of_model(model: RegisteredModel) -> list[str]:
    """Return every reason of the apps above not to delete a model."""
    hooks: Iterator[UsesOfModel] = _hooks("uses_of_model")
    return [use for hook in hooks for use in hook(model)]


def uses_of_version(version: ModelVersion) -> list[str]:
    """Return every reason of the apps above not to delete a version."""
    hooks: Iterator[UsesOfVersion] = _hooks("uses_of_version")
    return [use for hook in hooks for use in hook(version)]


def follow_rename(model: RegisteredModel, old_name: str) -> None:
    """Let the apps above follow a model that has just got another name."""
    hooks: Iterator[FollowRename] = _hooks("follow_rename")
    for hook in hooks:
        hook(model, old_name)


def _hooks(name: str) -> Iterator[Any]:
    table: dict[str, list[str]] = import_string(settings.REGISTRY_HOOKS)
    return (import_string(path) for path in table[name])
