"""GitHub: takes a repository_dispatch, and runs the workflow that waits for it.

As documented: at most ten properties in a payload; 204 for an accepted dispatch;
jobs in the order of `needs`; a job with an environment waits for its reviewers, and
fails without a step when they refuse; a job whose condition names no function of
status runs only after success; scripts run with `bash -e`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.examples.standins import EXAMPLES, Answer, Standin, answer, shell

_TOKENS = re.compile(r"'[^']*'|[A-Za-z_][\w.-]*(?:\(\))?|&&|\|\||==|!=|[()!]")
_WORDS = {"&&": " and ", "||": " or ", "!": " not "}
_STATUS = ("always()", "failure()", "success()", "cancelled()")
_KEYS = {
    "workflow": {"name", "run-name", True, "permissions", "concurrency", "env", "jobs"},
    "job": {
        *("needs", "runs-on", "timeout-minutes", "environment", "outputs"),
        *("steps", "if", "env", "permissions"),
    },
    "step": {"name", "id", "run", "env", "if"},
}


class GitHub(Standin):
    """One repository with one workflow on its default branch."""

    def __init__(self, work: Path) -> None:
        super().__init__()
        self.repository = "acme/models"
        self.token = "github_pat_11AAAA"
        self.work = work
        text = (EXAMPLES / "github-actions/greenlight.yml").read_text()
        self.workflow = _checked("workflow", yaml.safe_load(text))
        self.runs: list[Run] = []

    def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        if headers.get("Authorization") != f"Bearer {self.token}":
            return answer(401, {"message": "Bad credentials"})
        if path != f"/repos/{self.repository}/dispatches":
            return answer(404, {"message": "Not Found"})
        given = json.loads(body)
        payload = given["client_payload"]
        if len(given["event_type"]) > 100 or len(payload) > 10:
            return answer(422, {"message": "No more than 10 properties are allowed"})
        # YAML reads the key `on` as true
        if given["event_type"] in self.workflow[True]["repository_dispatch"]["types"]:
            self.runs.append(Run(self, payload, len(self.runs) + 1))
        return answer(204)


class Run:
    """One run of the workflow: jobs go on as far as they can, then it waits."""

    def __init__(self, github: GitHub, payload: dict[str, Any], number: int) -> None:
        self.workflow = github.workflow
        self.work = github.work / str(number)
        self.github = {
            "event": {"client_payload": payload},
            "repository": github.repository,
            "run_id": str(number),
            "server_url": github.url,
        }
        self.jobs: dict[str, dict[str, Any]] = {}
        self.log = ""
        self.masked: list[str] = []
        self.variables = {
            name: self.filled(value) for name, value in self.workflow["env"].items()
        }
        self.waiting: list[str] = []

    @property
    def name(self) -> str:
        return self.filled(self.workflow["run-name"])

    @property
    def group(self) -> str:
        return self.filled(self.workflow["concurrency"]["group"])

    def go_on(self, reviews: Mapping[str, bool] | None = None) -> None:
        """Run every job that may run; `reviews` says who refused which environment."""
        for name, spec in self.workflow["jobs"].items():
            job = _checked("job", spec)
            needs = job.get("needs", [])
            needs = [needs] if isinstance(needs, str) else needs
            if name in self.jobs or not set(needs) <= set(self.jobs):
                continue
            if not self._is_due(job, needs):
                self.jobs[name] = {"result": "skipped", "outputs": {}}
                continue
            environment = job.get("environment")
            if environment and environment not in (reviews or {}):
                self.waiting.append(environment)
                continue
            if environment and not (reviews or {})[environment]:
                self.jobs[name] = {"result": "failure", "outputs": {}}
                continue
            self.jobs[name] = self._run(name, job)

    def _is_due(self, job: dict[str, Any], needs: list[str]) -> bool:
        condition = job.get("if", "success()")
        succeeded = all(self.jobs[one]["result"] == "success" for one in needs)
        contexts = {"needs": {one: self.jobs[one] for one in needs}}
        is_due = _is_true(self._value(_inner(condition), succeeded, contexts))
        if not any(word in condition for word in _STATUS):
            return is_due and succeeded
        return is_due

    def _run(self, name: str, job: dict[str, Any]) -> dict[str, Any]:
        steps: dict[str, Any] = {}
        result = "success"
        for number, spec in enumerate(job["steps"]):
            step = _checked("step", spec)
            work = self.work / name / str(number)
            work.mkdir(parents=True)
            files = {
                f"GITHUB_{file.upper()}": str(work / file)
                for file in ("output", "step_summary", "env")
            }
            for path in files.values():
                Path(path).touch()
            standard = {
                **files,
                "GITHUB_RUN_ID": self.github["run_id"],
                "GITHUB_ACTIONS": "true",
            }
            variables = {**standard, **self.variables}
            done, log = shell(["bash", "-e"], step["run"], variables, work)
            self._keep(log)
            if "id" in step:
                steps[step["id"]] = {"outputs": _pairs(work / "output")}
            if not done:
                result = "failure"
                break
        outputs = {
            key: self.filled(value, {"steps": steps})
            for key, value in job.get("outputs", {}).items()
        }
        return {"result": result, "outputs": outputs}

    def _keep(self, log: str) -> None:
        """Keep a log as people see it: without what the script asked to mask."""
        for line in log.splitlines():
            if line.startswith("::add-mask::"):
                self.masked.append(line.removeprefix("::add-mask::"))
                continue
            for secret in self.masked:
                line = line.replace(secret, "***")
            self.log += f"{line}\n"

    def filled(self, text: str, contexts: dict[str, Any] | None = None) -> str:
        """Replace every `${{ … }}` of a text."""

        def value(match: re.Match[str]) -> str:
            found = self._value(match[1], True, contexts or {})
            return "" if found is None else str(found)

        return re.sub(r"\$\{\{(.*?)\}\}", value, str(text), flags=re.DOTALL)

    def _value(self, text: str, succeeded: bool, contexts: dict[str, Any]) -> Any:
        known = {"github": self.github, **contexts}
        functions = {
            "always()": True,
            "success()": succeeded,
            "failure()": not succeeded,
        }

        def word(token: str) -> str:
            if token in functions:
                return repr(functions[token])
            if token[0].isalpha():
                return repr(_find(known, token))
            return _WORDS.get(token, token)

        assert not _TOKENS.sub("", text).strip(), f"not understood: {text}"
        python = "".join(word(token) for token in _TOKENS.findall(text))
        return eval(compile(ast.parse(python.strip(), mode="eval"), "", "eval"))  # noqa: S307  # of values put in by repr


def _inner(condition: str) -> str:
    match = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", condition, re.DOTALL)
    return match[1] if match else condition


def _is_true(value: Any) -> bool:
    return bool(value)


def _find(known: Any, path: str) -> Any:
    for part in path.split("."):
        known = known.get(part) if isinstance(known, dict) else None
    return known


def _pairs(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def _checked(kind: str, spec: dict[Any, Any]) -> dict[Any, Any]:
    assert set(spec) <= _KEYS[kind], f"unknown in a {kind}: {set(spec) - _KEYS[kind]}"
    return spec
