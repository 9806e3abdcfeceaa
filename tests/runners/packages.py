"""Tiny packages of training code, zipped as users upload them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

MLMODEL = """\\
flavors:
  python_function:
    loader_module: mlflow.sklearn
    env: {}
signature:
  inputs: '[{"type": "double", "name": "a"}]'
  outputs: '[{"type": "double"}]'
"""

# Writes an MLmodel by hand: fast, and needs no requirement.
TRAIN = f"""
import os, pathlib

class Main:
    def train(self, data_directory):
        self.rows = sorted(
            path.read_text() for path in pathlib.Path(data_directory).rglob("*.csv")
        )
        print("trained on", len(self.rows), "files")

    def save(self):
        model = pathlib.Path("model")
        model.mkdir(exist_ok=True)
        (model / "MLmodel").write_text('''{MLMODEL}''')
        (model / "weights.txt").write_text(repr(self.rows))
"""


def zipped(files: Mapping[str, str | bytes]) -> io.BytesIO:
    """Return a zip with the given files, at the names given."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    packed.seek(0)
    return packed


def package(train: str = TRAIN, **more: str) -> io.BytesIO:
    """Return a package with this train.py; further files by `name_py=content`."""
    files = {name.replace("_py", ".py"): content for name, content in more.items()}
    return zipped({"train.py": train, "requirements.txt": "", **files})


def with_train(body: str, *, save: str = "super().save()") -> str:
    """Return a train.py whose train() also runs the given lines."""
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    return (
        TRAIN.replace("class Main", "class Plain")
        + f"""
class Main(Plain):
    def train(self, data_directory):
        super().train(data_directory)
{lines}

    def save(self):
        {save}
"""
    )
