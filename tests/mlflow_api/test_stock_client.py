"""An unmodified MLflow client, with only the URL and the token changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from access import services as access
from access.models import User
from access.privileges import Privilege

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

TRAIN = """
import json, mlflow, sys
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression
from sklearn.datasets import load_breast_cancer

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
name = "prod.fraud.scorer"
mlflow.set_experiment("first steps")
with mlflow.start_run() as run:
    mlflow.log_param("C", 0.5)
    mlflow.log_metric("accuracy", 0.9)
    mlflow.log_metrics({"auc": 0.8, "f1": 0.7})
    mlflow.set_tag("team", "fraud")
    mlflow.log_dict({"a": 1}, "notes.json")
    model = LogisticRegression(C=0.5, max_iter=5000).fit(X, y)
    info = mlflow.sklearn.log_model(
        model, name="model", input_example=X.head(2), registered_model_name=name,
        pip_requirements=["scikit-learn"])
again = mlflow.register_model(f"models:/{info.model_id}", name, tags={"kind": "again"})
client = MlflowClient()
client.set_registered_model_tag(name, "owner", "me")
client.set_model_version_tag(name, "1", "note", "ok")
client.update_model_version(name, "1", "the first")
client.update_registered_model(name, "a scorer")
client.set_registered_model_alias(name, "Challenger", "2")
loaded = mlflow.pyfunc.load_model(f"models:/{name}@Challenger")
predictions = loaded.predict(X.head(5)).tolist()
client.delete_model_version_tag(name, "1", "note")
model = client.get_registered_model(name)
one = client.get_model_version(name, "1")
by_alias = client.get_model_version_by_alias(name, "challenger")
found = client.search_registered_models(f"name LIKE 'prod.%'")
versions = client.search_model_versions(f"name = '{name}'")
latest = client.get_latest_versions(name)
print(json.dumps({
    "again": again.version, "predictions": predictions,
    "expected": LogisticRegression(C=0.5, max_iter=5000).fit(X, y).predict(X.head(5)).tolist(),
    "aliases": model.aliases, "tags": model.tags, "description": one.description,
    "version_tags": one.tags, "status": one.status, "by_alias": by_alias.version,
    "found": [m.name for m in found], "versions": sorted(int(v.version) for v in versions),
    "latest": latest[0].version,
    "artifacts": [f.path for f in client.list_artifacts(run.info.run_id)],
    "metric": client.get_run(run.info.run_id).data.metrics["auc"],
}))
"""


def run_script(server: LiveServer, token: str, script: str, **env: str) -> Any:
    """Run a script as a data scientist would: a process of its own, two variables."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "MLFLOW_TRACKING_URI": server.url,
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GIT_PYTHON_REFRESH": "quiet",
        **env,
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture
def token(owner: User, use: Callable[..., None]) -> str:
    use(owner, Privilege.CREATE_MODEL)
    return access.issue_token(owner, "laptop", principal=owner)


def test_train_register_tag_alias_search_and_load(
    live_server: LiveServer, token: str
) -> None:
    seen = run_script(live_server, token, TRAIN)
    assert seen["predictions"] == seen["expected"]
    assert int(seen["again"]) == int(seen["latest"]) == 2
    assert seen["aliases"] == {"Challenger": "2"}
    assert seen["tags"] == {"owner": "me"}
    assert seen["description"] == "the first"
    assert seen["version_tags"] == {}
    assert seen["status"] == "READY"
    assert seen["found"] == ["prod.fraud.scorer"]
    assert seen["versions"] == [1, 2]
    assert "notes.json" in seen["artifacts"]
    assert seen["metric"] == 0.8
