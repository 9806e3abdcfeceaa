"""What a tracking request is about, and the check that lets a principal through.

Each subject takes the parsed message, requires a level on every experiment that
it concerns, and returns the message to hand on: a search comes back narrowed to
the experiments that the principal may read.
"""

from __future__ import annotations

from collections.abc import Callable

from access.models import User
from core.errors import InvalidParameter
from mlflow_api.messages import Message, text, texts
from registry import services as registry
from registry.experiments import Level

Subject = Callable[[User, Message, Level], Message]

# more than MLflow's page asks for, fewer than a statement takes
_MOST_IDS = 1000
# MLflow takes no more runs at a time
_MOST_RUNS = 100


def experiment(principal: User, message: Message, level: Level) -> Message:
    registry.require_experiment(
        text(message, "experiment_id"), level, principal=principal
    )
    return message


def experiment_name(principal: User, message: Message, level: Level) -> Message:
    registry.require_experiment_name(
        text(message, "experiment_name"), level, principal=principal
    )
    return message


def anything(principal: User, message: Message, level: Level) -> Message:
    """Let through what is restricted where it is searched (see `reading_as`)."""
    return message


def experiments(principal: User, message: Message, level: Level) -> Message:
    """Narrow a search to the experiments that the principal may read."""
    ids = texts(message, "experiment_ids")
    if not ids:
        raise InvalidParameter("experiment_ids must name at least one experiment.")
    if len(ids) > _MOST_IDS:
        raise InvalidParameter(f"experiment_ids may name at most {_MOST_IDS}.")
    readable = registry.readable_experiments(ids, principal=principal)
    return {**message, "experiment_ids": readable}


def run(principal: User, message: Message, level: Level) -> Message:
    """Require the level on a run, and on the models that the message links to it."""
    run_id, twin = message.get("run_id"), message.get("run_uuid")
    if run_id and twin and run_id != twin:
        raise InvalidParameter("run_id and run_uuid differ; send run_id alone.")
    name = "run_id" if run_id else "run_uuid"
    registry.require_run(text(message, name), level, principal=principal)
    if models := _written_models(message):
        registry.require_logged_models(models, level, principal=principal)
    if models := _named_models(message):
        registry.require_logged_models(models, Level.READ, principal=principal)
    return message


def runs(principal: User, message: Message, level: Level) -> Message:
    """Require the level on all runs of a message, by whichever name they come."""
    ids = [*texts(message, "run_ids"), *texts(message, "run_id")]
    if not 1 <= len(ids) <= _MOST_RUNS:
        raise InvalidParameter(f"run_ids must name 1 to {_MOST_RUNS} runs.")
    registry.require_runs(ids, level, principal=principal)
    return message


def logged_model(principal: User, message: Message, level: Level) -> Message:
    models = [text(message, "model_id")]
    registry.require_logged_models(models, level, principal=principal)
    return message


def new_logged_model(principal: User, message: Message, level: Level) -> Message:
    """Require the level on the experiment, and on the run that it names as source."""
    experiment(principal, message, level)
    if run_id := text(message, "source_run_id", ""):
        registry.require_runs([run_id], level, principal=principal)
    return message


def _written_models(message: Message) -> list[str]:
    """Return the logged models of the metrics: a metric is written to its model too."""
    return _model_ids([message, *_objects(message, "metrics")])


def _named_models(message: Message) -> list[str]:
    """Return the logged models that become inputs or outputs of the run."""
    return _model_ids(_objects(message, "models"))


def _model_ids(entries: list[Message]) -> list[str]:
    return [text(entry, "model_id") for entry in entries if entry.get("model_id")]


def _objects(message: Message, name: str) -> list[Message]:
    value = message.get(name) or []
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise InvalidParameter(f"Parameter '{name}' must be a list of objects.")
    return value
