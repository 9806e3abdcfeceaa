"""Register a tiny model and load it by its alias, with the stock client: client.py NAME.

It knows nothing of the server but MLflow's own variables, and prints milliseconds.
"""

from __future__ import annotations

import json
import sys
import time

import mlflow
import numpy
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

_WARM_UP, _ROUNDS = 2, 8


def main() -> None:
    name = sys.argv[1]
    data = numpy.array([[1.0], [2.0]])
    model = LinearRegression().fit(data, [1.0, 2.0])
    signature = infer_signature(data, model.predict(data))
    mlflow.set_experiment("client")
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(model, name="model", signature=signature)
    register_ms, load_ms = [], []
    for _ in range(_WARM_UP + _ROUNDS):
        begun = time.perf_counter()
        version = mlflow.register_model(logged.model_uri, name)
        register_ms.append((time.perf_counter() - begun) * 1000)
        MlflowClient().set_registered_model_alias(name, "good", version.version)
        begun = time.perf_counter()
        mlflow.pyfunc.load_model(f"models:/{name}@good")
        load_ms.append((time.perf_counter() - begun) * 1000)
    seen = {"register_ms": register_ms[_WARM_UP:], "load_ms": load_ms[_WARM_UP:]}
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
