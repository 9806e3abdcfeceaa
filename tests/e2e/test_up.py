"""`make up`: two stacks side by side, and nothing left when they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import MANAGE, ROOT, Stack, free_port, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Directories outside a home, where programs like to leave things."""
    return {
        "HOME": str(tmp_path_factory.mktemp("user")),
        "TMPDIR": str(tmp_path_factory.mktemp("temporary")),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, outside: dict[str, str]
) -> Iterator[Stack]:
    """One stack for all tests that leave it running."""
    with Stack(tmp_path_factory.mktemp("stack") / "home", env=outside) as stack:
        yield stack


def test_two_stacks_run_side_by_side(
    stack: Stack, tmp_path: Path, outside: dict[str, str]
) -> None:
    with Stack(tmp_path / "other", env=outside, begins_with_nothing=True) as other:
        for each in (stack, other):
            assert _answers(each)
            assert each.get("/api/v1/catalogs").status_code == 200
        stranger = other.get("/api/v1/catalogs", token=stack.admin["token"])
        assert stranger.status_code == 401


def test_nothing_is_written_outside_the_home(
    stack: Stack, outside: dict[str, str]
) -> None:
    stack.manage("bootstrap", "--json", "--namespace", "dev.bars")

    written = {path for pid in stack.processes() for path in _written_by(pid)}
    strays = {path for path in written if stack.home not in path.parents}

    assert strays <= {stack.output}  # which the test gave it
    assert _files_below(outside["HOME"]) == []
    assert _files_below(outside["TMPDIR"]) == []


def test_bootstrap_is_idempotent_and_its_token_works(stack: Stack) -> None:
    first, second = (stack.manage("bootstrap", "--json") for _ in range(2))

    assert first == second
    assert first.count("\n") == 1
    answer = json.loads(first)
    assert answer["url"] == stack.url
    catalogs = stack.get("/api/v1/catalogs", token=answer["token"])
    assert catalogs.status_code == 200


@pytest.mark.parametrize("program", ["web", "bytes", "worker", "agent", "envoy"])
def test_a_killed_program_comes_back(stack: Stack, program: str) -> None:
    killed = stack.kill(program)

    wait_for(lambda: stack.pid(program) not in (0, killed), f"{program} stays down")
    wait_for(lambda: _answers(stack), "no answer")


def test_a_killed_worker_of_the_web_is_replaced(stack: Stack) -> None:
    for pid in stack.children("web"):
        os.kill(pid, signal.SIGKILL)

    wait_for(lambda: _answers(stack), "no answer")
    wait_for(lambda: len(stack.children("web")) == 2, "a worker is missing")


def test_a_port_that_is_taken_is_refused(stack: Stack, tmp_path: Path) -> None:
    refused = _up(tmp_path / "second", stack.port)

    assert refused.returncode == 1
    assert f"Port {stack.port} cannot be used" in refused.stderr


def test_a_home_that_is_taken_is_refused(stack: Stack) -> None:
    refused = _up(stack.home, free_port())

    assert refused.returncode == 1
    assert f"A stack runs in {stack.home} already" in refused.stderr


def test_a_stack_stops_cleanly_and_starts_again_where_it_stopped(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    with Stack(tmp_path / "home", env=outside) as stack:
        assert len(stack.processes()) > 6
        stack.manage("bootstrap", "--namespace", "dev.bars")

        assert stack.stop(signal.SIGTERM) == 0
        assert stack.processes() == []

        stack.start()
        catalogs = stack.get("/api/v1/catalogs").json()["catalogs"]
        assert [catalog["name"] for catalog in catalogs] == ["dev"]

        assert stack.stop(signal.SIGINT) == 0
        assert stack.processes() == []
        assert not _answers(stack)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_make_alone_stops_everything(
    tmp_path: Path, outside: dict[str, str], number: int
) -> None:
    # as a script would: no terminal sends the signal to the whole group
    with Stack(tmp_path / "home", env=outside, command=["make", "-s", "up"]) as stack:
        stack.stop(number)

        wait_for(lambda: not stack.processes(), "processes are left")


def test_the_programs_end_with_their_keeper(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    with Stack(tmp_path / "home", env=outside) as stack:
        stack.stop(signal.SIGKILL)

        wait_for(lambda: not stack.processes(), "processes are left")


def test_a_program_that_does_not_stay_up_ends_the_stack(tmp_path: Path) -> None:
    broken = tmp_path / "envoy"
    broken.write_text("#!/bin/sh\necho no gateway today\nexit 1\n")
    broken.chmod(0o755)
    home = tmp_path / "home"

    ended = _up(home, free_port(), GREENLIGHT_ENVOY_BIN=str(broken))

    assert ended.returncode == 1
    assert "no gateway today" in ended.stderr
    assert f"see {home}/logs/envoy.log" in ended.stderr
    assert Stack(home).processes() == []


def _answers(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.url}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _up(home: Path, port: int, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a stack that ends by itself, on the embedded default."""
    outer = {key: value for key, value in os.environ.items() if "GREENLIGHT" not in key}
    mine = {"GREENLIGHT_HOME": str(home), "GREENLIGHT_PORT": str(port)}
    return subprocess.run(
        [*MANAGE, "up"],
        env={**outer, **mine, **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
    )


def _files_below(directory: str) -> list[Path]:
    return [path for path in Path(directory).rglob("*") if not path.is_dir()]


def _written_by(pid: int) -> Iterator[Path]:
    """Yield the regular files that a process holds open for writing."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            path = descriptor.readlink()
            flags = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text().split()[3]
        except FileNotFoundError:
            continue
        if path.is_file() and int(flags, 8) & os.O_ACCMODE != os.O_RDONLY:
            yield path
