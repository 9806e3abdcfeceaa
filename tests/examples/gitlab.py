"""GitLab: takes a trigger token, makes a pipeline, and runs its jobs.

As documented: the form holds token, ref and variables[…]; 201 with the pipeline, 404
for a wrong token; stages in order; a manual job waits for a person, and is out of
reach after a failure, when the jobs with `on_failure` run instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import yaml

from tests.examples.standins import EXAMPLES, Answer, Standin, answer, shell

_JOB_KEYS = {"stage", "script", "rules", "environment"}
_TOP_KEYS = {"workflow", "stages", "default"}
_RULE = re.compile(r'\$(\w+)(?: == "([^"]*)")?')


class GitLab(Standin):
    """One project with one .gitlab-ci.yml on its branch main."""

    def __init__(self, work: Path) -> None:
        super().__init__()
        self.project = "acme/models"
        self.token = "glptt-0123456789"
        self.work = work
        text = (EXAMPLES / "gitlab-ci/.gitlab-ci.yml").read_text()
        self.spec: dict[str, Any] = yaml.safe_load(text)
        self.pipelines: list[Pipeline] = []

    def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        if path != f"/api/v4/projects/{quote(self.project, safe='')}/trigger/pipeline":
            return answer(404, {"message": "404 Project Not Found"})
        form = dict(parse_qsl(body.decode(), strict_parsing=True))
        if form.pop("token") != self.token:
            return answer(404, {"message": "404 Not Found"})
        if form.pop("ref") != "main":
            return answer(400, {"message": {"base": ["Reference not found"]}})
        variables = {
            name.removeprefix("variables[").removesuffix("]"): value
            for name, value in form.items()
        }
        pipeline = Pipeline(self, variables, len(self.pipelines) + 1)
        if not pipeline.is_wanted:
            return answer(400, {"message": {"base": ["filtered out by rules"]}})
        self.pipelines.append(pipeline)
        return answer(201, {"id": pipeline.number, "status": "created"})


class Pipeline:
    """A pipeline: what needs no person runs, and the rest waits for one."""

    def __init__(self, gitlab: GitLab, variables: dict[str, str], number: int) -> None:
        self.spec = gitlab.spec
        self.number = number
        self.work = gitlab.work / str(number)
        self.variables = {
            **variables,
            "CI_PIPELINE_SOURCE": "trigger",
            "CI_PIPELINE_URL": f"{gitlab.url}/acme/models/-/pipelines/{number}",
            "GITLAB_USER_LOGIN": "ci-trigger",
            "GITLAB_CI": "true",
        }
        self.results: dict[str, bool] = {}
        self.log = ""

    @property
    def name(self) -> str:
        return re.sub(
            r"\$(\w+)",
            lambda match: self.variables.get(match[1], ""),
            self.spec["workflow"]["name"],
        )

    @property
    def is_wanted(self) -> bool:
        return any(self._holds(rule["if"]) for rule in self.spec["workflow"]["rules"])

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs, stage by stage."""
        found = {name: job for name, job in self.spec.items() if name not in _TOP_KEYS}
        for name, job in found.items():
            assert set(job) <= _JOB_KEYS, name
        stages = self.spec["stages"]
        return dict(
            sorted(found.items(), key=lambda one: stages.index(one[1]["stage"]))
        )

    @property
    def has_failed(self) -> bool:
        return not all(self.results.values())

    @property
    def waiting(self) -> list[str]:
        """The manual jobs that a person may run now."""
        if self.has_failed:
            return []
        manual = [name for name in self.jobs if self._when(name) == "manual"]
        return [name for name in manual if name not in self.results]

    def go_on(self) -> None:
        for name in self.jobs:
            when = "on_failure" if self.has_failed else "on_success"
            if name not in self.results and self._when(name) == when:
                self.results[name] = self._run(name)

    def press(self, name: str, login: str) -> None:
        """Run a manual job as a person."""
        assert name in self.waiting
        self.variables["GITLAB_USER_LOGIN"] = login
        self.results[name] = self._run(name)

    def _when(self, name: str) -> str:
        for rule in self.jobs[name].get("rules", [{}]):
            if "if" not in rule or self._holds(rule["if"]):
                return str(rule.get("when", "on_success"))
        return "never"

    def _run(self, name: str) -> bool:
        job = self.jobs[name]
        lines = [*self.spec["default"]["before_script"], *job["script"]]
        tools = self.work / "tools"
        tools.mkdir(parents=True, exist_ok=True)
        # the image is there already, with what it would install
        (tools / "apk").write_text("#!/bin/sh\n")
        (tools / "apk").chmod(0o755)
        path = {"PATH": f"{tools}:{os.environ['PATH']}", "CI_JOB_NAME": name}
        done, log = shell(
            ["/bin/sh", "-e"],
            "\n".join(lines),
            {**self.variables, **path},
            self.work / name,
        )
        self.log += log
        return done

    def _holds(self, condition: str) -> bool:
        """Evaluate `$A == "text" && $B`, which is all that the file uses."""
        for part in condition.split(" && "):
            match = _RULE.fullmatch(part)
            assert match, f"not understood: {part}"
            value = self.variables.get(match[1], "")
            if value != match[2] if match[2] is not None else not value:
                return False
        return True
