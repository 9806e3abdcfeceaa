"""The RPCs that make, rename, delete and restore an experiment."""

from __future__ import annotations

from access.models import User
from core.errors import InvalidParameter
from mlflow_api.messages import Message, tags, text
from registry import services as registry
from registry.experiments import Level
from registry.models import Experiment


def create(principal: User, message: Message) -> Message:
    if message.get("artifact_location"):
        raise InvalidParameter("artifact_location is set by the server; leave it out.")
    experiment = registry.create_experiment(
        text(message, "name"), tags=tags(message), principal=principal
    )
    return {"experiment_id": experiment.experiment_id}


def update(principal: User, message: Message) -> Message:
    """Rename: nothing else of an experiment is updated by this RPC."""
    experiment = _managed(principal, message)
    registry.rename_experiment(
        experiment, text(message, "new_name"), principal=principal
    )
    return {}


def delete(principal: User, message: Message) -> Message:
    registry.delete_experiment(_managed(principal, message), principal=principal)
    return {}


def restore(principal: User, message: Message) -> Message:
    registry.restore_experiment(_managed(principal, message), principal=principal)
    return {}


def _managed(principal: User, message: Message) -> Experiment:
    experiment_id = text(message, "experiment_id")
    registry.require_experiment(experiment_id, Level.MANAGE, principal=principal)
    return registry.get_experiment(experiment_id)
