"""Python environments of training code: locked at upload, built once, read-only."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import uv
from django.conf import settings
from packaging.requirements import InvalidRequirement, Requirement

from core.errors import DomainError, InvalidParameter
from runners.attempts import remove_tree

_COMPILE_SECONDS, _BUILD_SECONDS = 300, 1800


class EnvironmentFailed(DomainError):
    """The environment of a package could not be built; the message says why."""


def lock(requirements: str) -> str:
    """Resolve requirements into exact versions with a hash for every file.

    Wheels only: a source distribution runs its author's code when it is built.
    Raises InvalidParameter with the line or the resolver's explanation.
    """
    wanted = _checked(requirements)
    if not wanted:
        return ""
    command = [
        *("pip", "compile", "--quiet", "--generate-hashes", "--only-binary", ":all:"),
        *("--no-header", "--no-annotate", "--python", sys.executable),
        *index_options(),
        "-",
    ]
    done = _uv(command, _COMPILE_SECONDS, stdin="\n".join(wanted))
    if done.returncode:
        raise InvalidParameter(
            f"requirements.txt cannot be resolved: {done.stderr.strip()[-2000:]}"
        )
    return done.stdout


def _checked(requirements: str) -> list[str]:
    """Keep plain requirements; a path, a URL or an option reads what it should not."""
    wanted = []
    for number, line in enumerate(requirements.splitlines(), 1):
        text = line.split(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise InvalidParameter(
                f"requirements.txt, line {number}: {text!r} is not a plain requirement "
                "such as 'scikit-learn==1.9.1'; options and files are not accepted."
            ) from error
        if requirement.url:
            raise InvalidParameter(
                f"requirements.txt, line {number}: {text!r} names a URL; name a version."
            )
        wanted.append(str(requirement))
    return wanted


def digest_of(lock_text: str) -> str:
    """Return the name of the environment that a lock makes on this machine."""
    parts = (lock_text, platform.python_version(), platform.machine(), sys.platform)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def ensure(lock_text: str) -> Path:
    """Return the environment of a lock, built on first use.

    Several callers may ask at once: one builds under a file lock, the others
    wait. A marker is written last, so a half-built one is begun anew.
    Raises EnvironmentFailed.
    """
    directory = Path(settings.ENVIRONMENTS_DIR) / digest_of(lock_text)
    marker = directory.with_suffix(".ok")
    if marker.exists():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _file_lock(directory.with_suffix(".lock")):
        if not marker.exists():
            _build(directory, lock_text)
            marker.touch()
    return directory


def _build(directory: Path, lock_text: str) -> None:
    remove_tree(directory)
    venv = ["venv", "--quiet", "--no-project", "--python", sys.executable]
    _must(_uv([*venv, str(directory)], _BUILD_SECONDS))
    if lock_text:
        with tempfile.NamedTemporaryFile(
            "w", dir=directory.parent, suffix=".txt"
        ) as file:
            file.write(lock_text)
            file.flush()
            # compiled now: the environment is read-only when it is used
            sync = ["pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode"]
            sync += index_options()
            python = str(python_of(directory))
            _must(_uv([*sync, "--python", python, file.name], _BUILD_SECONDS))
    _make_read_only(directory)


def _must(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise EnvironmentFailed(
            f"The environment cannot be built: {done.stderr.strip()[-2000:]}"
        )


def python_of(environment: Path) -> Path:
    """Return the interpreter of an environment."""
    return environment / "bin" / "python"


def _make_read_only(directory: Path) -> None:
    """Take the write bits away: no run may change what the next one uses."""
    for folder, _, names in os.walk(directory):
        for path in (Path(folder), *(Path(folder) / name for name in names)):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _uv(
    command: list[str], timeout: float, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    environ = {
        "UV_CACHE_DIR": str(Path(settings.ENVIRONMENTS_DIR) / "cache"),
        **os.environ,
        # a hard-linked file that one run changed would be changed in every cache
        "UV_LINK_MODE": "copy",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    if (cert := _pip_options().get("cert")) and "SSL_CERT_FILE" not in environ:
        environ["SSL_CERT_FILE"] = cert
    try:
        return subprocess.run(  # noqa: S603  # our own arguments, no shell
            [uv.find_uv_bin(), *command],
            **{"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=environ,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailed(f"uv took longer than {timeout:.0f} s.") from error


def index_options() -> list[str]:
    """Return uv's options for the indexes that pip is configured to use here."""
    options = _pip_options()
    found: list[str] = ["--index-strategy", "unsafe-best-match"]  # as pip chooses
    for key in ("index-url", "extra-index-url", "find-links"):
        for value in options.get(key, "").split():
            found += [f"--{key}", value]
    for host in options.get("trusted-host", "").split():
        found += ["--allow-insecure-host", host]
    if options.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        found.append("--no-index")
    return found


@cache
def _pip_options() -> dict[str, str]:
    """Read pip's configuration: files, then the environment, as pip ranks them."""
    listed = subprocess.run(  # our own interpreter
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listed.stdout.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(section):
                found[key.removeprefix(section)] = str(ast.literal_eval(value))
    return found
