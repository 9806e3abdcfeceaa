"""What a team sets up once: data, package, pipeline, policy, endpoint, CI."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from demo.people import Cast
from demo.stack import ROOT, Stack

MODEL = "prod.oncology.tumour"


ENDPOINT = "prod.oncology.screening"


STEPS = (1000, 5000)


STEP_SECONDS = 6


def write_data(work: Path) -> dict[str, Path]:
    """Write the Wisconsin diagnostic records as CSV: to train on, and held out."""
    records = load_breast_cancer(as_frame=True)
    table: pd.DataFrame = records.data.rename(columns=lambda c: c.replace(" ", "_"))
    table["malignant"] = 1 - records.target  # the data set calls benign 1
    train, holdout = train_test_split(
        table, test_size=0.3, random_state=7, stratify=table["malignant"]
    )
    train.to_csv(work / "train.csv", index=False)
    holdout.to_csv(work / "holdout.csv", index=False)
    return {"train.csv": work / "train.csv"}


def zip_package(work: Path) -> Path:
    target = work / "package.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted((ROOT / "demo" / "package").iterdir()):
            if path.is_file():
                archive.write(path, path.name)
    return target


@contextmanager
def ci_receiver(stack: Stack, people: Cast, work: Path) -> Iterator[str]:
    """Run the script that plays the CI, subscribed to approval requests."""
    env = {
        **os.environ,
        "DEMO_WORK": str(work),
        "MLFLOW_TRACKING_URI": stack.url,
        "MLFLOW_TRACKING_TOKEN": people.ci.token,
    }
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(ROOT / "demo" / "receiver.py")],
        env=env,
        stdout=subprocess.PIPE,
        stderr=(work / "receiver.log").open("w"),
        text=True,
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        webhook = people.admin.post(
            "webhooks",
            {
                "url": f"http://127.0.0.1:{port}/approval",
                "event_types": ["approval.requested"],
                "scope_type": "schema",
                "scope": "prod.oncology",
            },
        )
        (work / "secret").write_text(webhook["secret"])
        yield webhook["id"]
    finally:
        process.terminate()
        process.wait(timeout=10)


def prepare(people: Cast, work: Path) -> None:
    """Set up what a team sets up once: data, package, pipeline, policy, endpoint."""
    owner = people.owner
    people.admin.post(
        "policies",
        {
            "securable_type": "catalog",
            "full_name": "prod",
            "alias_pattern": "Champion",
            "approvals_needed": 1,
            "checks": ["holdout-accuracy"],
        },
    )
    owner.post("datasets", {"name": "prod.oncology.records"})
    owner.upload("datasets/prod.oncology.records/snapshots", write_data(work))
    owner.post("packages", {"name": "prod.oncology.trainer"})
    owner.upload("packages/prod.oncology.trainer/versions", {"file": zip_package(work)})
    owner.post(
        "pipelines",
        {
            "name": "prod.oncology.nightly",
            "package": "prod.oncology.trainer",
            "target_model": MODEL,
            "request_alias": "Champion",
            "dataset": "prod.oncology.records",
        },
    )


def create_endpoint(people: Cast) -> None:
    steps = [{"weight": w, "min_duration_seconds": STEP_SECONDS} for w in STEPS]
    people.owner.post(
        "endpoints",
        {
            "name": ENDPOINT,
            "model": MODEL,
            "alias": "Champion",
            "plan": {"steps": steps, "bake_seconds": 2},
        },
    )
    people.owner.grant("endpoint", ENDPOINT, "shop", "QUERY")
