"""B-6: bytes through the server, against MLflow's own server, dd and sha256sum.

    python -m bench.transfers [--quick]

One file of random bytes (1 GiB; 128 MiB with --quick) is uploaded as a file of a run
and downloaded again, by one client over one connection, from both servers in turn.
Greenlight downloads from the governed store, after it has registered the file as a
version: that copies, hashes and inspects it, and is measured, too. Memory is the
highest resident size of all processes of a server above the one before.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench import common
from bench.common import BenchError

_CHUNK = 2**20
_MIB = 2**20
_MODEL = "bench.bytes.weights"
_MLMODEL = b"""flavors: {python_function: {loader_module: mlflow.sklearn, data: model}}
signature: {inputs: '[{"type": "double"}]', outputs: '[{"type": "double"}]'}
"""


@dataclass
class Server:
    """A server under load, its client, and the seconds of its transfers."""

    name: str
    client: httpx.Client
    port: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    above_idle: dict[str, int] = field(default_factory=dict)

    def measure(self, work: str, transfer: Callable[[], object]) -> None:
        """Run a transfer; note how long it took and the memory that it took."""
        processes = _processes(self.port)
        idle = sum(_memory(each, "VmRSS") for each in processes)
        for each in processes:
            Path(f"/proc/{each}/clear_refs").write_text("5")  # forget the highest
        begun = time.perf_counter()
        transfer()
        self.seconds.setdefault(work, []).append(time.perf_counter() - begun)
        highest = sum(_memory(each, "VmHWM") for each in _processes(self.port))
        self.above_idle[work] = max(self.above_idle.get(work, 0), highest - idle)


def main() -> None:
    """Measure, and print a line of JSON per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a file of 128 MiB")
    quick = parser.parse_args().quick
    try:
        measure(size=(128 if quick else 1024) * _MIB, rounds=3)
    except BenchError as problem:
        sys.exit(str(problem))


def measure(size: int, rounds: int) -> None:
    """Run the rounds against both servers, and report B-6."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        file = _random_file(home / "weights.bin", size)
        ours = stack.enter_context(_greenlight(home / "greenlight"))
        theirs = stack.enter_context(_mlflow(home / "mlflow"))
        limits: dict[str, list[float]] = {"copy": [], "hash": []}
        for number in range(rounds):
            common.say(f"round {number + 1} of {rounds}")
            _transfer_ours(ours, file)
            _transfer_theirs(theirs, file)
            _time_limits(limits, file)
    _report(ours, theirs, limits, size)


def _transfer_ours(server: Server, file: Path) -> None:
    experiment = _experiment(server.client)
    run = _post(server.client, "runs/create", {"experiment_id": experiment})["run"]
    run_id = run["info"]["run_id"]
    place = f"{experiment}/{run_id}/artifacts/model"
    _upload(server.client, f"{place}/MLmodel", [_MLMODEL])
    server.measure(
        "upload",
        lambda: _upload(server.client, f"{place}/model", _chunks(file), file),
    )
    made: dict[str, Any] = {}
    source = {"name": _MODEL, "source": f"runs:/{run_id}/model"}
    server.measure(
        "register",
        lambda: made.update(_post(server.client, "model-versions/create", source)),
    )
    version = made["model_version"]
    if version["status"] != "READY":
        raise BenchError(f"The version is not READY: {version}")
    path = f"greenlight/{_MODEL}/{version['version']}/model"
    server.measure("download", lambda: _download(server.client, path, file))


def _transfer_theirs(server: Server, file: Path) -> None:
    path = f"{_experiment(server.client)}/run/artifacts/model"
    server.measure("upload", lambda: _upload(server.client, path, _chunks(file), file))
    server.measure("download", lambda: _download(server.client, path, file))


def _time_limits(limits: dict[str, list[float]], file: Path) -> None:
    """Note what the disk and sha256 need for the same bytes, without a server."""
    copy = file.with_suffix(".copy")
    dd = ["dd", f"if={file}", f"of={copy}", "bs=1M", "conv=fdatasync", "status=none"]
    for name, command in (("copy", dd), ("hash", ["sha256sum", str(file)])):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        limits[name].append(time.perf_counter() - begun)
    copy.unlink()


def _report(
    ours: Server, theirs: Server, limits: dict[str, list[float]], size: int
) -> None:
    def rate(seconds: list[float]) -> float:
        return size / _MIB / statistics.median(seconds)

    peers = {
        "upload": (theirs.name, theirs.seconds["upload"]),
        "download": (theirs.name, theirs.seconds["download"]),
        "register": ("dd conv=fdatasync, then sha256sum", _sums(limits)),
    }
    for work, (peer, seconds) in peers.items():
        mine, other = rate(ours.seconds[work]), rate(seconds)
        common.report(
            bench="B-6",
            work=f"{work} {size // _MIB} MiB",
            peer=peer,
            unit="MiB/s",
            ours=mine,
            theirs=other,
            ratio=mine / other,
            ours_mib_above_idle=ours.above_idle[work] / 1024,
            theirs_mib_above_idle=theirs.above_idle.get(work, 0) / 1024,
        )


def _sums(limits: dict[str, list[float]]) -> list[float]:
    return [a + b for a, b in zip(limits["copy"], limits["hash"], strict=True)]


@contextlib.contextmanager
def _greenlight(home: Path) -> Iterator[Server]:
    """Serve the application as the stack's process for bytes does, on a port."""
    env = {"GREENLIGHT_HOME": str(home), "GREENLIGHT_INLINE_BYTES": str(2**50)}
    namespace = _MODEL.rpartition(".")[0]
    made = subprocess.run(
        [sys.executable, "manage.py", "bootstrap", "--json", "--namespace", namespace],
        env={**os.environ, **env},
        cwd=common.ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    token = json.loads(made.stdout.splitlines()[-1])["token"]
    port = common.free_port()
    command = [str(common.BIN / "granian"), "--interface", "wsgi", "--port", str(port)]
    command += ["--workers", "1", "--blocking-threads", "8", "--log-level", "warning"]
    command += ["greenlight.wsgi:application"]
    log = home / "server.log"
    with (
        common.server(command, port=port, ready="/healthz", log=log, env=env) as url,
        _client(url, {"Authorization": f"Bearer {token}"}) as client,
    ):
        _post(client, "registered-models/create", {"name": _MODEL})
        yield Server("greenlight", client, port)


@contextlib.contextmanager
def _mlflow(home: Path) -> Iterator[Server]:
    home.mkdir()
    port = common.free_port()
    command = [str(common.BIN / "mlflow"), "server", "--port", str(port)]
    command += ["--workers", "1", "--artifacts-destination", str(home / "files")]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db"]
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    log = home / "server.log"
    with (
        common.server(command, port=port, ready="/health", log=log, env=quiet) as url,
        _client(url, {}) as client,
    ):
        yield Server("mlflow server (no auth)", client, port)


def _client(url: str, headers: dict[str, str]) -> httpx.Client:
    return httpx.Client(base_url=f"{url}/api/2.0", headers=headers, timeout=600)


def _experiment(client: httpx.Client) -> str:
    made = _post(client, "experiments/create", {"name": secrets.token_hex(8)})
    return str(made["experiment_id"])


def _post(client: httpx.Client, method: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(f"/mlflow/{method}", json=body)
    if answer.status_code != 200:
        raise BenchError(f"{method} answered {answer.status_code}: {answer.text[:500]}")
    result: dict[str, Any] = answer.json()
    return result


def _upload(
    client: httpx.Client, path: str, content: Any, file: Path | None = None
) -> None:
    size = file.stat().st_size if file else len(_MLMODEL)
    url = f"/mlflow-artifacts/artifacts/{path}"
    headers = {"Content-Length": str(size)}
    answer = client.put(url, content=iter(content), headers=headers)
    if answer.status_code != 200:
        raise BenchError(f"PUT {path} answered {answer.status_code}: {answer.text}")


def _download(client: httpx.Client, path: str, file: Path) -> None:
    received = 0
    url = f"/mlflow-artifacts/artifacts/{path}"
    with client.stream("GET", url) as answer:
        for chunk in answer.iter_raw():
            received += len(chunk)
    if answer.status_code != 200 or received != file.stat().st_size:
        raise BenchError(f"GET {path} answered {answer.status_code}, {received} bytes")


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as reader:
        while chunk := reader.read(_CHUNK):
            yield chunk


def _random_file(path: Path, size: int) -> Path:
    with path.open("wb") as writer:
        for _ in range(size // _CHUNK):
            writer.write(os.urandom(_CHUNK))
    return path


def _processes(port: int) -> list[str]:
    """Return the ids of the server on a port, and of all that it started."""
    parents = {}
    roots = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[entry.name] = stat[1]
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"--port" in words and str(port).encode() in words:
                    roots.append(entry.name)
    found = set(roots)
    while more := {child for child, one in parents.items() if one in found} - found:
        found |= more
    return sorted(found)


def _memory(process: str, field_name: str) -> int:
    """Return a size of a process in KiB; 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{field_name}:"):
                return int(line.split()[1])
    return 0


if __name__ == "__main__":
    main()
