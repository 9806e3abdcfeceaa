"""Jenkins: queues a build with parameters, and walks through its Jenkinsfile.

As documented: Basic with a user and an API token needs no crumb; 201 with the place in
the queue; parameters that the job does not declare are dropped; `input` waits for one
of its submitters; a build that is aborted there ends with `post { aborted }`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from tests.examples.standins import EXAMPLES, Answer, Standin, answer, shell

_SCRIPT = re.compile(r"sh '''(.*?)'''", re.DOTALL)


class Jenkins(Standin):
    """One pipeline job in a folder."""

    def __init__(self, work: Path) -> None:
        super().__init__()
        self.user, self.api_token = "relay", "11aaaabbbb"
        self.work = work
        self.file = (EXAMPLES / "jenkins/Jenkinsfile").read_text()
        self.builds: list[Build] = []

    def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        pair = base64.b64encode(f"{self.user}:{self.api_token}".encode()).decode()
        if headers.get("Authorization") != f"Basic {pair}":
            return answer(401)
        if path != "/job/models/job/greenlight%20approval/buildWithParameters":
            return answer(404)
        declared = re.findall(r"(?:string|password)\(name: '(\w+)'", self.file)
        given = dict(parse_qsl(body.decode(), strict_parsing=True))
        parameters = {name: given.get(name, "") for name in declared}
        self.builds.append(Build(self, parameters, len(self.builds) + 1))
        place = f"{self.url}/queue/item/{len(self.builds)}/"
        return answer(201, Location=place)


class Build:
    """One build: it runs up to the input, and goes on or is aborted there."""

    def __init__(
        self, jenkins: Jenkins, parameters: dict[str, str], number: int
    ) -> None:
        self.work = jenkins.work / str(number)
        self.url = f"{jenkins.url}/job/models/job/greenlight%20approval/{number}/"
        self.variables = {
            **parameters,
            "BUILD_NUMBER": str(number),
            "BUILD_TAG": f"jenkins-models-greenlight approval-{number}",
            "BUILD_URL": self.url,
        }
        self.test = block(jenkins.file, "stage('Test')")
        self.approve = block(jenkins.file, "stage('Approve')")
        self.aborted = block(jenkins.file, "aborted")
        self.input = block(self.approve, "input")
        self.result = ""
        self.log = ""

    @property
    def is_waiting(self) -> bool:
        return self.result == "waiting"

    def go_on(self) -> None:
        if self._run(block(self.test, "steps")):
            self.result = "waiting"
            return
        self._run(block(self.test, "failure"))
        self.result = "failure"

    def proceed(self, user: str) -> None:
        """Press the button of the input."""
        assert self.is_waiting
        assert "submitter 'ml-approvers'" in self.input
        match = re.search(r"submitterParameter '(\w+)'", self.input)
        assert match
        self.variables[match[1]] = user
        done = self._run(block(self.approve, "steps"))
        self.result = "success" if done else "failure"

    def abort(self) -> None:
        assert self.is_waiting
        self._run(self.aborted)
        self.result = "aborted"

    def _run(self, text: str) -> bool:
        match = _SCRIPT.search(text)
        assert match
        script = groovy_text(match[1])
        done, log = shell(["/bin/sh", "-xe"], script, self.variables, self.work)
        self.log += log
        return done


def block(text: str, head: str) -> str:
    """Return what stands between the braces after a head."""
    start = text.index("{", text.index(f"{head} {{"))
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start + 1 : at]
    raise AssertionError(f"the braces after {head} do not close")


def groovy_text(text: str) -> str:
    """Read a Groovy string in three single quotes: only backslashes mean something."""
    meant = {"\n": "", "n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"', "$": "$"}

    def character(match: re.Match[str]) -> str:
        assert match[1] in meant, f"Groovy refuses {match[0]!r}"
        return meant[match[1]]

    return re.sub(r"\\(.)", character, text, flags=re.DOTALL)
