"""One training with real requirements, as a user writes it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import pytest

from access.models import User
from registry.models import ModelVersion
from runners import services as runners
from runners.models import Dataset, Pipeline, Run, RunStatus
from tests.runners.packages import zipped

REQUIREMENTS = "scikit-learn==1.9.1\nmlflow-skinny==3.17.2\nskops\npandas\n"
TRAIN = """
import os
import mlflow.sklearn
import pandas
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

class Main:
    def train(self, data_directory):
        rows = pandas.read_csv(f"{data_directory}/rows.csv")
        self.features = rows[["a", "b"]]
        self.model = LogisticRegression(C=float(os.environ["C"]))
        self.model.fit(self.features, rows["y"])

    def save(self):
        signature = infer_signature(self.features, self.model.predict(self.features))
        mlflow.sklearn.save_model(self.model, "model", signature=signature)
"""
ROWS = b"a,b,y\n" + b"".join(b"%d,%d,%d\n" % (i, i % 7, i > 20) for i in range(40))


@pytest.mark.e2e
@pytest.mark.django_db
def test_scikit_learn_model_is_trained_and_registered(
    pipeline: Pipeline,
    dataset: Dataset,
    trainer: User,
    upload: Callable[[BytesIO], None],
    finish: Callable[[Run], Run],
) -> None:
    runners.create_snapshot(dataset, [("rows.csv", BytesIO(ROWS))], principal=trainer)
    upload(zipped({"train.py": TRAIN, "requirements.txt": REQUIREMENTS}))

    run = finish(
        runners.start_run(pipeline, parameters={"C": "0.5"}, principal=trainer)
    )

    assert run.status == RunStatus.SUCCEEDED, run.failure_summary
    version = ModelVersion.objects.get()
    assert "MLmodel" in [entry["path"] for entry in version.manifest]
    assert '"name": "a"' in str(version.signature)
    assert version.lineage["parameters"]["C"] == "0.5"
