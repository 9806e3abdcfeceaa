"""A registry script as a data scientist has it, for MLflow 2.22 and 3.17 alike.

It is run in a process of its own by the test, with the URL and a token in two
variables; the names have three levels, and nothing else is Greenlight's.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

warnings.simplefilter("ignore")
NAME, COPY, PROMPT = "prod.fraud.scorer", "prod.fraud.copy", "prod.fraud.greeting"
client = MlflowClient()
seen: dict[str, Any] = {"mlflow": mlflow.__version__}


def refusal(call: Any, *arguments: Any, **named: Any) -> str:
    """Return the code of the error that a call must end in."""
    try:
        call(*arguments, **named)
    except MlflowException as error:
        return str(error.error_code)
    return "none"


def train() -> tuple[Any, Any, Any]:
    rows = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0)[::-1]})
    model = LogisticRegression().fit(rows, rows["a"] > 9)
    signature = infer_signature(rows, model.predict(rows))
    mlflow.set_experiment("the script")
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(
            model,
            "model",
            signature=signature,
            registered_model_name=NAME,
            pip_requirements=["scikit-learn"],
        )
    return rows, model, info


def register(info: Any) -> None:
    again = mlflow.register_model(info.model_uri, NAME, tags={"kind": "again"})
    once_more = mlflow.register_model(info.model_uri, NAME, tags={"kind": "again"})
    seen["numbers"] = [int(again.version), int(once_more.version)]
    seen["refused_name"] = refusal(client.create_registered_model, "scorer")
    seen["exists"] = refusal(client.create_registered_model, NAME)


def annotate() -> None:
    client.update_registered_model(NAME, "a scorer")
    client.update_model_version(NAME, "1", "the first")
    client.set_registered_model_tag(NAME, "team", "fraud")
    client.set_registered_model_tag(NAME, "gone", "soon")
    client.delete_registered_model_tag(NAME, "gone")
    client.set_model_version_tag(NAME, "1", "note", "ok")
    client.set_model_version_tag(NAME, "1", "gone", "soon")
    client.delete_model_version_tag(NAME, "1", "gone")
    client.set_registered_model_alias(NAME, "Challenger", "1")
    model, version = (
        client.get_registered_model(NAME),
        client.get_model_version(NAME, "1"),
    )
    seen["model"] = [model.description, model.tags, model.aliases]
    seen["version"] = [version.description, version.tags, list(version.aliases)]
    seen["user"], seen["status"] = version.user_id, version.status
    seen["latest"] = [v.version for v in client.get_latest_versions(NAME)]
    stage = refusal(client.transition_model_version_stage, NAME, "1", "Production")
    seen["stages"] = [stage, refusal(client.get_latest_versions, NAME, ["Production"])]
    seen["found"] = [
        m.name for m in client.search_registered_models(f"name = '{NAME}'")
    ]
    versions = client.search_model_versions(f"name = '{NAME}'")
    seen["versions"] = sorted(int(v.version) for v in versions)


def load(rows: Any, model: Any) -> None:
    expected = model.predict(rows).tolist()
    seen["loaded"] = [
        mlflow.pyfunc.load_model(f"models:/{uri}").predict(rows).tolist() == expected
        for uri in (f"{NAME}@Challenger", f"{NAME}/1", f"{NAME}/latest")
    ]


def copy(rows: Any, model: Any) -> None:
    copied = client.copy_model_version(f"models:/{NAME}@Challenger", COPY)
    predicted = mlflow.pyfunc.load_model(f"models:/{COPY}/1").predict(rows).tolist()
    seen["copied"] = [
        int(copied.version),
        copied.run_id == client.get_model_version(NAME, "1").run_id,
        client.get_registered_model(COPY).aliases,
        predicted == model.predict(rows).tolist(),
    ]


def rename_and_delete() -> None:
    client.rename_registered_model(COPY, f"{COPY}2")
    seen["renamed"] = client.get_model_version(f"{COPY}2", "1").status
    seen["old_name"] = refusal(client.get_registered_model, COPY)
    client.delete_model_version(f"{COPY}2", "1")
    seen["deleted"] = refusal(client.get_model_version, f"{COPY}2", "1")
    client.delete_registered_model(f"{COPY}2")
    seen["in_use"] = refusal(client.delete_model_version, NAME, "1")
    client.delete_registered_model_alias(NAME, "Challenger")
    client.delete_model_version(NAME, "1")


def prompts() -> None:
    client.register_prompt(PROMPT, "Hello {{name}}", commit_message="first")
    client.register_prompt(PROMPT, "Good day, {{name}}", commit_message="second")
    client.set_prompt_alias(PROMPT, "formal", 2)
    loaded = client.load_prompt(f"prompts:/{PROMPT}@formal")
    seen["prompt"] = [loaded.format(name="Ada"), int(loaded.version)]
    first = client.load_prompt(f"prompts:/{PROMPT}/1")
    seen["first_prompt"] = first.template
    prompt_filter = "tags.`mlflow.prompt.is_prompt` = 'true'"
    found = client.search_registered_models(prompt_filter)
    seen["prompts"] = [PROMPT in [m.name for m in found]]
    plain = client.search_registered_models("name LIKE 'prod.%'")
    seen["prompts"].append(PROMPT in [m.name for m in plain])
    seen["model_as_prompt"] = refusal(client.register_prompt, NAME, "Hello")
    client.delete_prompt_alias(PROMPT, "formal")


rows, model, info = train()
register(info)
annotate()
load(rows, model)
copy(rows, model)
rename_and_delete()
prompts()
if hasattr(client, "search_prompts"):
    seen["search_prompts"] = [p.name for p in client.search_prompts()]
    client.set_prompt_version_tag(PROMPT, "1", "note", "ok")
    client.delete_prompt_version(PROMPT, "1")
    client.delete_prompt(PROMPT)
else:
    client.delete_prompt(PROMPT, 1)
    client.delete_prompt(PROMPT, 2)
seen["gone"] = refusal(client.get_registered_model, PROMPT)
print(json.dumps(seen))  # noqa: T201  # the answer of this process
