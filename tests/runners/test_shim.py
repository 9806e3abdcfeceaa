"""The shim alone, as the launcher starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runners.attempts import SHIM_LOCK, AttemptDirectory, kill_all

SHIM = Path("runners/shim.py").resolve()


@pytest.fixture
def attempt(settings: Any) -> AttemptDirectory:
    path = settings.RUNS_DIR / "run" / "1"
    path.mkdir(parents=True)
    return AttemptDirectory(path)


def spawn(attempt: AttemptDirectory, code: str, **spec: Any) -> int:
    content = {
        "argv": [sys.executable, "-u", "-c", code],
        "cwd": str(attempt.path),
        "timeout_seconds": 30,
        "grace_seconds": 0.3,
        "max_log_bytes": 2**20,
        **spec,
    }
    (attempt.path / "spec.json").write_text(json.dumps(content))
    with attempt.held(SHIM_LOCK) as lock:
        assert lock is not None
        done = subprocess.run(
            [sys.executable, "-I", SHIM, attempt.path, str(lock)],
            pass_fds=(lock,),
            start_new_session=True,
            check=False,
        )
        return done.returncode


def wait(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def end(attempt: AttemptDirectory) -> dict[str, Any]:
    wait(lambda: attempt.exit() is not None and not attempt.is_held())
    found = attempt.exit()
    assert found is not None
    return found


def test_exit_code_and_output_are_kept(attempt: AttemptDirectory) -> None:
    spawn(
        attempt, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    )

    ending = end(attempt)

    assert (ending["rc"], ending["why"]) == (7, "exited")
    assert sorted(attempt.log.read_text().splitlines()) == ["err", "out"]
    assert ending["usage"]["maxrss_kb"] > 0


def test_lock_is_held_for_as_long_as_the_shim_lives(attempt: AttemptDirectory) -> None:
    spawn(attempt, "import time; time.sleep(60)")

    assert attempt.is_held()
    wait(lambda: attempt.read("shim.json"))
    os.kill(attempt.read("shim.json")["pid"], signal.SIGKILL)

    wait(lambda: not attempt.is_held())
    assert attempt.exit() is None


def test_deaf_training_is_killed_after_the_grace(attempt: AttemptDirectory) -> None:
    deaf = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up')\n"
    spawn(attempt, deaf + "while True: time.sleep(1)")
    wait(lambda: attempt.log.exists() and attempt.log.read_text() == "up\n")

    attempt.ask_to_cancel()

    ending = end(attempt)
    assert (ending["rc"], ending["why"]) == (-signal.SIGKILL, "cancelled")


def test_time_limit_ends_a_training(attempt: AttemptDirectory) -> None:
    spawn(attempt, "import time; time.sleep(60)", timeout_seconds=0.3)

    assert end(attempt)["why"] == "timeout"


def test_log_is_capped_and_the_rest_counted(attempt: AttemptDirectory) -> None:
    spawn(attempt, "print('x' * 999_999)", max_log_bytes=1000)

    ending = end(attempt)

    assert attempt.log.stat().st_size == 1000
    assert ending["usage"]["dropped_log_bytes"] == 999_000


def test_leftovers_neither_delay_the_end_nor_survive_it(
    attempt: AttemptDirectory,
) -> None:
    code = """import subprocess, sys
sleeper = [sys.executable, '-c', 'import time; time.sleep(60)']
child = subprocess.Popen(sleeper, start_new_session=True)
print(child.pid)"""
    spawn(attempt, code)

    end(attempt)

    pid = int(attempt.log.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_cannot_be_started_says_so_in_the_log(attempt: AttemptDirectory) -> None:
    spawn(attempt, "", argv=["/nonexistent/python"])

    assert end(attempt)["rc"] == 127
    assert "could not be started" in attempt.log.read_text()


def test_ended_attempt_is_not_run_again(attempt: AttemptDirectory) -> None:
    spawn(attempt, "print('once')")
    before = end(attempt)

    spawn(attempt, "print('twice')")

    wait(lambda: not attempt.is_held())
    assert attempt.exit() == before
    assert attempt.log.read_text() == "once\n"


def test_stopping_the_stack_kills_its_trainings(attempt: AttemptDirectory) -> None:
    spawn(attempt, "import time; time.sleep(60)")
    wait(lambda: attempt.read("shim.json"))

    kill_all()

    wait(lambda: not attempt.is_held())
    assert attempt.exit() is None
