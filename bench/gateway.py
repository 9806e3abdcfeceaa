"""B-7 and B-8: what the gateway costs, and whether a shift of weights loses anything.

    python -m bench.gateway [--quick]

The load and the upstreams share one core, the Envoy that is measured has another.
The upstream is an Envoy too, which answers every path at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench import common
from bench.common import BenchError, Load
from bench.gateway_stack import (
    BOTH,
    LOAD_CORE,
    PATIENCE_SECONDS,
    Stack,
    bare,
    clusters,
    installation,
    set_weights,
)

_SCRIPT = Path(__file__).with_name("gateway.lua")
_CONNECTIONS = 64
_SHIFTS, _REQUESTS = 50, 500_000
_SHARES = (10, 100, 1000, 5000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds")
    quick = parser.parse_args().quick
    common.require_wrk()
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {LOAD_CORE})
    try:
        with installation() as stack:
            measure_cost(stack, rounds=3 if quick else 7, seconds=2 if quick else 5)
            measure_shifts(stack, shifts=10 if quick else _SHIFTS, quick=quick)
            measure_split(stack, seconds=2 if quick else 6)
    except BenchError as problem:
        sys.exit(str(problem))


# --- B-7 ----------------------------------------------------------------------------


def measure_cost(stack: Stack, rounds: int, seconds: float) -> None:
    """Compare the whole gateway and the split alone with one bare static cluster.

    CPU time per request is robust against a busy machine; the rates are not.
    """
    with bare(stack, "bare", _single) as one, bare(stack, "split", _split) as split:
        proxies = {"bare": one, "split": split, "gateway": stack.proxy}
        seen: dict[str, list[Load]] = {name: [] for name in proxies}
        cpu: dict[str, list[float]] = {name: [] for name in proxies}
        for number in range(rounds + 1):
            for name, proxy in proxies.items():
                before = proxy.cpu_seconds()
                load = common.wrk(
                    f"http://127.0.0.1:{proxy.port}",
                    _SCRIPT,
                    connections=_CONNECTIONS,
                    seconds=seconds,
                    arguments=(stack.path, stack.token),
                )
                spent = proxy.cpu_seconds() - before
                common.say(f"{number}/{rounds} {name} {load}")
                if number:  # the first round warms up
                    seen[name].append(load)
                    cpu[name].append(spent / (load.rate * seconds) * 1e6)
    for bench, name in (("B-7", "gateway"), ("B-7 split", "split")):
        _report_cost(bench, seen[name], seen["bare"], cpu[name], cpu["bare"])


def _report_cost(
    bench: str,
    ours: list[Load],
    theirs: list[Load],
    our_cpu: list[float],
    their_cpu: list[float],
) -> None:
    mine, other = common.median(ours), common.median(theirs)
    common.report(
        bench=bench,
        connections=_CONNECTIONS,
        peer="bare Envoy, one static cluster",
        ours=mine.rate,
        theirs=other.rate,
        ratio=mine.rate / other.rate,
        ours_p99_ms=mine.p99_ms,
        theirs_p99_ms=other.p99_ms,
        ours_cpu_us=statistics.median(our_cpu),
        theirs_cpu_us=statistics.median(their_cpu),
    )


def _single(stack: Stack) -> dict[str, Any]:
    return {"cluster": BOTH, "prefix_rewrite": "/"}


def _split(stack: Stack) -> dict[str, Any]:
    names = [cluster["name"] for cluster in clusters(stack)]
    weighted = [{"name": name, "weight": 5000} for name in names]
    split = {"runtime_key_prefix": "w", "clusters": weighted}
    return {"weighted_clusters": split, "prefix_rewrite": "/"}


# --- B-8 ----------------------------------------------------------------------------


def measure_shifts(stack: Stack, shifts: int, quick: bool) -> None:
    """Move all traffic back and forth under load; count what failed and how fast it moved.

    An effect ends with the last request, by the time of its sending, that the old
    version still answered; it begins when the agent is told, by the commit.
    """
    wanted = 0 if quick else _REQUESTS
    effects: list[float] = []
    requests = errors = done = 0
    set_weights(stack, 0)
    while done < shifts or requests < wanted:
        batch = min(10, max(shifts - done, 5))
        with _load(stack, 1.0 * batch + 2) as load, _probes(stack) as probes:
            times = [_shift(stack, done + i) for i in range(batch)]
        seen = load.result()
        samples = probes.result()
        requests += seen["requests"] + len(samples)
        errors += seen["errors"] + sum(not version for _, version in samples)
        effects += [_effect(at, old, samples) for at, old in times]
        done += batch
        common.say(f"{done} shifts, {requests} requests, {errors} failed")
    effects.sort()
    common.report(
        bench="B-8",
        peer=None,
        ours=errors,
        theirs=0,
        ratio=None,
        requests=requests,
        shifts=done,
        effect_p50_ms=statistics.median(effects),
        effect_p95_ms=effects[math.ceil(len(effects) * 0.95) - 1],
        effect_max_ms=effects[-1],
    )
    if errors:
        raise BenchError(f"{errors} of {requests} requests failed during {done} shifts")


def _shift(stack: Stack, number: int) -> tuple[float, str]:
    """Give all traffic to the other version; return when, and who had it."""
    time.sleep(1.0)
    to_second = number % 2 == 0
    set_weights(stack, 10_000 if to_second else 0)
    return time.monotonic(), "1" if to_second else "2"


def _effect(at: float, old: str, samples: list[tuple[float, str]]) -> float:
    """Return for how many milliseconds the old version still answered."""
    late = [
        sent for sent, version in samples if at < sent < at + 0.9 and version == old
    ]
    return (max(late) - at) * 1000 if late else 0.0


@contextlib.contextmanager
def _load(
    stack: Stack, seconds: float, *, connections: int = 32
) -> Iterator[Future[dict[str, Any]]]:
    command = [common.require_wrk(), "-t1", f"-c{connections}", f"-d{seconds:g}s"]
    command += ["-s", str(_SCRIPT), f"http://127.0.0.1:{stack.port}", "--"]
    command += [stack.path, stack.token]
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(_wrk, command)


def _wrk(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@contextlib.contextmanager
def _probes(stack: Stack) -> Iterator[Future[list[tuple[float, str]]]]:
    """Ask in a process of its own, and note when each request was sent."""
    context = multiprocessing.get_context("spawn")
    stop, found = context.Event(), context.Queue()
    arguments = (stack.port, stack.path, stack.token, stop, found)
    process = context.Process(target=_probe, args=arguments)
    process.start()
    future: Future[list[tuple[float, str]]] = Future()
    yield future
    stop.set()
    future.set_result(found.get(timeout=PATIENCE_SECONDS))
    process.join()


def _probe(port: int, path: str, token: str, stop: Any, found: Any) -> None:
    """Ask over one connection until told to stop; a version of "" is a failure."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
    samples: list[tuple[float, str]] = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while not stop.is_set():
            sent = time.monotonic()
            connection.sendall(request)
            head = _read_head(connection)
            ok = head.startswith("HTTP/1.1 200")
            _, _, rest = head.partition("x-greenlight-version: ")
            samples.append((sent, rest.split("\r\n")[0] if ok else ""))
    found.put(samples)


def _read_head(connection: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith(b"ok"):
        data += connection.recv(65536)
    return data.decode()


def measure_split(stack: Stack, seconds: float) -> None:
    """Compare the shares that Envoy gave with the shares that were set, by chi-square.

    p = erfc(sqrt(x / 2)) for one degree of freedom (Abramowitz and Stegun, 26.4).
    """
    for share in _SHARES:
        set_weights(stack, share)
        time.sleep(1.0)
        command = [common.require_wrk(), "-t1", "-c32", f"-d{seconds:g}s"]
        command += ["-s", str(_SCRIPT), f"http://127.0.0.1:{stack.port}", "--"]
        versions = _wrk([*command, stack.path, stack.token, "count"])["versions"]
        one, two = versions.get("1", 0), versions.get("2", 0)
        total = one + two
        expected = total * share / 10_000
        x = (two - expected) ** 2 * (1 / expected + 1 / (total - expected))
        common.report(
            bench="B-8 split",
            peer=None,
            ours=two / total,
            theirs=share / 10_000,
            ratio=two / expected,
            requests=total,
            p=math.erfc(math.sqrt(x / 2)),
        )


if __name__ == "__main__":
    main()
