"""Which processes a stack has, and that none outlives it."""

from __future__ import annotations

import configparser
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import LazySettings

from greenlight.supervisor import programs, shim


def read_configuration() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read(programs.write_configuration())
    return parser


def test_every_program_starts_through_the_shim_and_logs_to_a_file(
    settings: LazySettings,
) -> None:
    configuration = read_configuration()

    for name in ("web", "bytes", "worker", "agent", "envoy"):
        section = configuration[f"program:{name}"]
        assert shlex.split(section["command"])[2] == shim.__file__
        assert section["stdout_logfile"] == f"logs/{name}.log"
        assert section["killasgroup"] == "true"


def test_envoy_starts_last_and_stops_first() -> None:
    configuration = read_configuration()

    order = {
        name: int(configuration[name]["priority"])
        for name in configuration.sections()
        if name.startswith("program:")
    }

    assert max(order, key=lambda name: order[name]) == "program:envoy"


def test_another_envoy_may_be_chosen(settings: LazySettings) -> None:
    settings.ENVOY_BIN = "/opt/en voy%/bin"

    command = read_configuration()["program:envoy"]["command"]

    # supervisord expands %(…)s, so a percent sign is doubled
    assert "/opt/en voy%%/bin" in shlex.split(command)


def test_a_program_ends_with_its_parent(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    program = f"echo $$ > {noted}.new; mv {noted}.new {noted}; sleep 60"
    parent = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import subprocess, sys; subprocess.run(sys.argv[1:])",
            *(sys.executable, shim.__file__, "sh", "-c", program),
        ]
    )
    _wait(noted.exists)

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    pid = int(noted.read_text())
    _wait(lambda: not _is_running(pid))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def _wait(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("waited in vain")
        time.sleep(0.02)
