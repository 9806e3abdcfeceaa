"""The main job: train, check, approve, serve, canary, roll back; prints its figures.

Real processes, over HTTP, with real tokens. Exits 0 only if every assertion held.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from rich.console import Console
from rich.table import Table

from demo.api import Api, wait_for
from demo.people import Cast, cast, grant_rights
from demo.setting import (
    ENDPOINT,
    MODEL,
    STEP_SECONDS,
    STEPS,
    ci_receiver,
    create_endpoint,
    prepare,
)
from demo.stack import Stack
from demo.traffic import Traffic

FULL = 10_000

console = Console(highlight=False, log_path=False)


@contextmanager
def act(title: str) -> Iterator[None]:
    """Show a step while it runs, and how long it took."""
    began = time.monotonic()
    with console.status(title):
        yield
    console.log(f"[green]✔[/] {title} [dim]{time.monotonic() - began:.1f} s[/]")


def say(text: str) -> None:
    console.log(f"  {text}")


def train(people: Cast, **parameters: str) -> dict[str, Any]:
    """Run the pipeline to its end and return the run."""
    run = people.owner.post(
        "pipelines/prod.oncology.nightly/runs", {"parameters": parameters}
    )

    def ended() -> Any:
        now = people.owner.get(f"runs/{run['id']}")
        if now["status"] in {"failed", "cancelled"}:
            log = people.owner.get(f"runs/{run['id']}/logs")["text"]
            raise AssertionError(f"{now['failure_summary']}\n{log}")
        return now if now["status"] == "succeeded" else None

    return dict(wait_for("the training", ended, seconds=240))


def approve(people: Cast, version: int) -> dict[str, Any]:
    """Wait for the CI's check, then approve as a person would, with the digest."""

    def checked() -> Any:
        pending = people.approver.get("approvals", state="pending")["approvals"]
        mine = [r for r in pending if r["model"] == MODEL and r["version"] == version]
        if not mine:
            return None
        request = people.approver.get(f"approvals/{mine[0]['id']}")
        return request if any(c["passed"] for c in request["checks"]) else None

    request: dict[str, Any] = wait_for("the CI's check", checked, seconds=60)
    say(f"CI: {request['checks'][0]['comment']}")
    people.approver.post(
        f"approvals/{request['id']}/decisions",
        {
            "decision": "approve",
            "comment": "accuracy is fine",
            "digest": request["digest"],
        },
    )
    applied: dict[str, Any] = people.approver.get(f"approvals/{request['id']}")
    assert applied["status"] == "applied", applied
    return applied


def serving_token(caller: Api) -> str:
    return str(caller.post("serving-token")["token"])


def routes(people: Cast) -> dict[str, int]:
    """Return the weights that are set, by version, in basis points."""
    endpoint = people.owner.get(f"endpoints/{ENDPOINT}")
    return {str(r["version"]): r["weight"] for r in endpoint["routes"]}


def _has_weight(people: Cast, version: str, weight: int) -> bool:
    return routes(people).get(version) == weight


def holdout(work: Path) -> tuple[pd.DataFrame, pd.Series[int]]:
    table = pd.read_csv(work / "holdout.csv")
    return table, table.pop("malignant")


def predict(people: Cast, table: pd.DataFrame, caller: Api) -> list[int]:
    """Ask the endpoint, as `caller`, for the labels of a table."""
    answer = caller.http.post(
        f"{caller.url}/serving/{ENDPOINT}/invocations",
        json={"dataframe_split": table.to_dict(orient="split", index=False)},
        headers={"Authorization": f"Bearer {serving_token(caller)}"},
    )
    assert answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}"
    return [int(label) for label in answer.json()["predictions"]]


def refused_attempts(people: Cast, stack: Stack) -> None:
    """Let the stranger and the owner try to move Champion with the stock client."""
    for name, api in (("stranger", people.stranger), ("owner", people.owner)):
        os.environ["MLFLOW_TRACKING_TOKEN"] = api.token
        client = mlflow.MlflowClient(tracking_uri=stack.url)
        try:
            client.set_registered_model_alias(MODEL, "Champion", "2")
        except MlflowException as error:
            say(f"{name} is refused: [dim]{error.message}[/]")
        else:
            raise AssertionError(f"{name} moved Champion without approval.")


def watch_canary(people: Cast, traffic: Traffic) -> Table:
    """Compare the share that is set with the share that is seen, step by step."""
    table = Table("step", "set", "seen", "predictions", title="Canary of version 2")
    for weight in (*STEPS, FULL):
        wait_for(
            f"the step of {weight / 100:.0f} %",
            partial(_has_weight, people, "2", weight),
            seconds=90,
            every=0.1,
        )
        began = time.monotonic() + 0.5
        time.sleep(STEP_SECONDS - 2)
        seen = traffic.seen(began, time.monotonic())
        share = 100 * seen["2"] / max(1, seen.total())
        table.add_row(
            f"{len(table.rows) + 1}",
            f"{weight / 100:.0f} %",
            f"{share:.1f} %",
            str(seen.total()),
        )
        say(f"set {weight / 100:.0f} %, seen {share:.1f} % of {seen.total()}")
        assert is_fair(weight / FULL, seen["2"], seen.total()), (
            "the split is not as set"
        )
    return table


def is_fair(share: float, hits: int, total: int) -> bool:
    """Tell whether a count fits a binomial share, within 4.5 standard deviations.

    A true split fails this once in 150,000 looks.
    """
    deviation = math.sqrt(share * (1 - share) * total)
    return total >= 50 and abs(hits - share * total) <= 4.5 * deviation


def rollback(people: Cast, traffic: Traffic) -> float:
    """Roll back in one call; return the seconds until version 2 answered its last."""
    began = time.monotonic()
    people.owner.post(f"endpoints/{ENDPOINT}/rollback")
    wait_for(
        "the rollback", partial(_has_weight, people, "1", FULL), seconds=30, every=0.05
    )
    time.sleep(1.5)
    assert set(traffic.seen(time.monotonic() - 1, time.monotonic())) == {"1"}
    return max(0.0, traffic.last("2") - began)


def first_version(people: Cast, stack: Stack, work: Path) -> dict[str, float]:
    """Version 1: trained, checked, approved, served, and its answers are right."""
    with act("Training version 1 (C=0.001)"):
        run = train(people, C="0.001")
        say(f"{run['model_version']} from {run['package_version']}")
    with act("CI check and approval of version 1"):
        request = approve(people, 1)
        say(f"Champion is version 1, digest {request['digest'][:12]}…")
    with act("Serving version 1"):
        began = time.monotonic()
        wait_for("version 1", partial(_has_weight, people, "1", FULL), seconds=90)
        served = time.monotonic() - began
        table, labels = holdout(work)
        answers = wait_for(
            "the first prediction",
            lambda: _quietly(lambda: predict(people, table, people.shop)),
            seconds=30,
        )
        os.environ["MLFLOW_TRACKING_TOKEN"] = people.owner.token
        loaded = mlflow.pyfunc.load_model(f"models:/{MODEL}@Champion")
        assert answers == [int(label) for label in loaded.predict(table)]
        accuracy = float((labels == answers).mean())
        say(f"{len(answers)} predictions, accuracy {accuracy:.4f}, as loaded locally")
    stranger = people.stranger.http.post(
        f"{stack.url}/serving/{ENDPOINT}/invocations",
        json={},
        headers={"Authorization": f"Bearer {serving_token(people.stranger)}"},
    )
    assert stranger.status_code == 403, stranger.status_code
    say("the stranger's call is refused by the gateway: 403")
    return {"accuracy": accuracy, "shift_seconds": served}


def _quietly(call: Any) -> Any:
    """Return the answer, or None while it is still refused."""
    try:
        return call()
    except AssertionError:
        return None


def second_version(people: Cast, stack: Stack, work: Path) -> dict[str, Any]:
    """Version 2: refused to the impatient, then approved, shifted, rolled back."""
    with act("Training version 2 (C=1.0)"):
        run = train(people, C="1.0")
        say(f"{run['model_version']}, package {run['trained_package']}")
    with act("Two attempts to move Champion without approval"):
        refused_attempts(people, stack)
    table, labels = holdout(work)
    body = {"dataframe_split": table.head(1).to_dict(orient="split", index=False)}
    url = f"{stack.url}/serving/{ENDPOINT}/invocations"
    with Traffic(url, serving_token(people.shop), body, callers=4) as traffic:
        with act("CI check and approval of version 2, under steady predictions"):
            approve(people, 2)
            began = time.monotonic()
        with act("Canary 10 % → 50 % → 100 %"):
            split = watch_canary(people, traffic)
            shift = traffic.last("1") - began
        accuracy = float((labels == predict(people, table, people.shop)).mean())
        with act("Rollback in one call"):
            wait_for("the end of the rollout", lambda: _is_over(people), seconds=60)
            seconds = rollback(people, traffic)
    assert not traffic.failures, traffic.failures[:5]
    return {
        "accuracy": accuracy,
        "split": split,
        "shift_seconds": shift,
        "rollback_seconds": seconds,
        "predictions": len(traffic.answers),
    }


def _is_over(people: Cast) -> bool:
    return not people.owner.get(f"endpoints/{ENDPOINT}")["rollout"]


def report(
    stack: Stack, people: Cast, one: dict[str, Any], two: dict[str, Any]
) -> None:
    figures = Table("figure", "value", title="Figures", show_header=False)
    figures.add_row("accuracy of version 1, hold-out", f"{one['accuracy']:.4f}")
    figures.add_row("accuracy of version 2, hold-out", f"{two['accuracy']:.4f}")
    figures.add_row("approval → version 1 served", f"{one['shift_seconds']:.1f} s")
    figures.add_row(
        f"approval → all traffic on version 2 ({len(STEPS)} steps of {STEP_SECONDS} s)",
        f"{two['shift_seconds']:.1f} s",
    )
    figures.add_row(
        "rollback call → last answer of version 2", f"{two['rollback_seconds']:.2f} s"
    )
    figures.add_row("failed predictions", f"0 of {two['predictions']}")
    console.print(two["split"])
    console.print(figures)
    console.print("To look around in the console:")
    for line in (
        f"  GREENLIGHT_HOME={stack.home} GREENLIGHT_PORT={stack.port} make up",
        f"  {stack.url}",
        *(f"  {name:9} {people.passwords[name]}" for name in people.passwords),
    ):
        console.print(line, soft_wrap=True)


def main() -> None:
    began = time.monotonic()
    console.rule("Greenlight: from training to live traffic")
    stack = Stack()
    work = stack.home / "demo"
    work.mkdir()
    mlflow.set_tracking_uri(stack.url)
    with act("Starting the stack"):
        stack.__enter__()
    try:
        with act("Accounts, rights, data, package, pipeline, policy, endpoint"):
            people = cast(stack)
            grant_rights(people)
            prepare(people, work)
            os.environ["MLFLOW_TRACKING_TOKEN"] = people.owner.token
            mlflow.MlflowClient().create_registered_model(MODEL)
            create_endpoint(people)
        with ci_receiver(stack, people, work):
            one = first_version(people, stack, work)
            two = second_version(people, stack, work)
        with act("Verifying the audit chain"):
            say(stack.manage("verify-audit").strip())
    finally:
        stack.__exit__(None, None, None)
    report(stack, people, one, two)
    console.print(f"[green]Everything held[/], in {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
