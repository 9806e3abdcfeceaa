"""Predict with what train.py saved."""

from __future__ import annotations

import mlflow
import pandas as pd


class Main:
    """The serving half of the package."""

    def __init__(self) -> None:
        self.model = mlflow.pyfunc.load_model("model")

    def predict(self, table: pd.DataFrame) -> list[int]:
        return [int(label) for label in self.model.predict(table)]
