"""Train a classifier of breast tumours: the contract is Main.train and Main.save."""

from __future__ import annotations

import json
import os
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


class Main:
    """What a training run constructs, trains and saves."""

    def __init__(self) -> None:
        self.c = float(os.environ.get("C", "1.0"))

    def train(self, data_directory: str) -> None:
        """Fit on train.csv; the column `malignant` is the label."""
        table = pd.read_csv(Path(data_directory) / "train.csv")
        labels = table.pop("malignant")
        self.features = table
        self.model = make_pipeline(
            StandardScaler(), LogisticRegression(C=self.c, max_iter=1000)
        ).fit(table, labels)
        self.accuracy = float(self.model.score(table, labels))
        self._write_report()

    def save(self) -> None:
        """Write the model in MLflow's format, where the run looks for it."""
        signature = infer_signature(self.features, self.model.predict(self.features))
        mlflow.sklearn.save_model(
            self.model,
            "model",
            signature=signature,
            input_example=self.features.head(2),
            pip_requirements=["mlflow-skinny", "scikit-learn", "pandas"],
        )

    def _write_report(self) -> None:
        report = {"C": self.c, "train_accuracy": self.accuracy}
        path = Path(os.environ["artifacts_directory"]) / "report.json"
        path.write_text(json.dumps(report, indent=2))
