"""One experiment and everybody who comes near it, through the stock client."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django.live_server_helper import LiveServer

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry import services as registry
from tests.factories import UserFactory
from tests.mlflow_api.test_stock_client import run_script

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

STORY = """
import json, os
import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from requests import HTTPError

client, refused = MlflowClient(), []

def become(who):
    os.environ["MLFLOW_TRACKING_TOKEN"] = os.environ["TOKEN_" + who.upper()]

def fails(what, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except MlflowException as error:
        refused.append((what, error.error_code))
    except HTTPError as error:  # what an upload raises
        refused.append((what, json.loads(error.response.text)["error_code"]))
    else:
        refused.append((what, "NOT REFUSED"))

become("owner")
experiment = client.get_experiment_by_name("prod.fraud.study").experiment_id
run = client.create_run(experiment, run_name="first").info.run_id
client.log_metric(run, "auc", 0.9)
client.log_dict(run, {"a": 1}, "notes.json")
model = client.create_logged_model(experiment, name="scorer", source_run_id=run)
client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
client.set_terminated(run)

become("reader")
runs = client.search_runs([experiment], filter_string="metrics.auc > 0.5")
history = client.get_metric_history(run, "auc")
notes = mlflow.artifacts.load_dict(f"runs:/{run}/notes.json")
found = [e.name for e in client.search_experiments()]
fails("reader logs", client.log_param, run, "a", "1")
fails("reader uploads", client.log_dict, run, {}, "more.json")
fails("reader deletes run", client.delete_run, run)
fails("reader renames", client.rename_experiment, experiment, "prod.fraud.mine")

become("editor")
second = client.create_run(experiment, run_name="second").info.run_id
client.log_batch(second, params=[mlflow.entities.Param("depth", "7")])
client.set_experiment_tag(experiment, "state", "hot")
fails("editor deletes run", client.delete_run, second)

become("manager")
client.delete_run(second)
client.rename_experiment(experiment, "prod.fraud.renamed")
client.delete_experiment(experiment)
client.restore_experiment(experiment)
fails("manager reads", client.get_run, run)

become("stranger")
fails("stranger sees", client.get_experiment, experiment)
fails("stranger reads", client.get_run, run)
fails("stranger loads", mlflow.pyfunc.load_model, f"models:/{model.model_id}")
fails("stranger squats", client.create_experiment, "prod.fraud.other")
nothing = [*client.search_experiments(), *client.search_runs([experiment])]
own = mlflow.set_experiment("study of my own").experiment_id
client.create_run(own)

become("owner")
left = client.search_runs([experiment])
print(json.dumps({
    "runs": [r.info.run_name for r in runs], "history": [m.value for m in history],
    "notes": notes, "found": found, "refused": dict(refused), "nothing": len(nothing),
    "left": [r.info.run_name for r in left],
    "name": client.get_experiment(experiment).name,
    "tags": client.get_experiment(experiment).tags["state"],
}))
"""


@pytest.fixture
def tokens(
    owner: User, admin: User, stranger: User, use: Callable[..., None]
) -> dict[str, str]:
    """A token of everybody in the story, by the name of its variable."""
    use(owner, Privilege.CREATE_EXPERIMENT)
    study = registry.create_experiment("prod.fraud.study", principal=owner)
    people = {"owner": owner, "stranger": stranger}
    for role, privilege in {
        "reader": Privilege.READ_EXPERIMENT,
        "editor": Privilege.EDIT_EXPERIMENT,
        "manager": Privilege.MANAGE,
    }.items():
        people[role] = UserFactory(username=role)
        use(people[role], *[Privilege.CREATE_EXPERIMENT] * (role == "manager"))
        access.grant(study, privilege, people[role], principal=owner)
    return {
        f"TOKEN_{role.upper()}": access.issue_token(user, "laptop", principal=user)
        for role, user in people.items()
    }


def test_everybody_gets_as_far_as_the_grants_go(
    live_server: LiveServer, tokens: dict[str, str]
) -> None:
    env = {**tokens, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    seen = run_script(live_server, "", STORY, **env)
    assert seen["runs"] == ["first"]
    assert seen["left"] == ["second", "first"]  # a restore brings back all
    assert (seen["history"], seen["notes"]) == ([0.9], {"a": 1})
    assert (seen["found"], seen["nothing"]) == (["prod.fraud.study"], 0)
    assert (seen["name"], seen["tags"]) == ("prod.fraud.renamed", "hot")
    refused = seen["refused"]
    forbidden = {what for what, code in refused.items() if code == "PERMISSION_DENIED"}
    assert forbidden == {
        "reader logs",
        "reader uploads",
        "reader deletes run",
        "reader renames",
        "editor deletes run",
        "manager reads",
    }
    hidden = {what: refused[what] for what in refused if what not in forbidden}
    assert set(hidden.values()) == {"RESOURCE_DOES_NOT_EXIST"}
    assert len(hidden) == 4
