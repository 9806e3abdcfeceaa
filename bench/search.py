"""B-3 and B-14: the first page of a search, as the registry and the company grow.

    python -m bench.search [--quick]

B-3 asks for the first page of models at 1,000 to 1,000,000 models, for callers of
every reach, one request at a time; the peer is `mlflow server --app-name basic-auth`,
where the caller may read ten models and nothing else. B-14 repeats B-1 and B-3 with
ten times the users, groups and grants. `GREENLIGHT_BENCH_KEEP=1` keeps the seeded
databases for the next run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench import common, servers
from bench.common import BenchError, Load
from bench.seed import FEW, PRINCIPALS, READER, Size

_CLAUSE = "tag.`mlflow.prompt.is_prompt` != 'true'"  # the stock client adds it
_SEARCH = "/api/2.0/mlflow/registered-models/search"
_SIZES = (1000, 10_000, 100_000, 1_000_000)
_LARGEST_OF_PEER = 100_000  # a request takes half a minute there
_GROWTH = 10
_RESOLVE = Path(__file__).with_name("resolve.lua")


@dataclass(frozen=True)
class Registry:
    """A seeded database, and a token for each principal."""

    size: Size
    url: str
    tokens: dict[str, str]


def main() -> None:
    """Measure, and print a line of JSON per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="1,000 and 10,000 models alone"
    )
    quick = parser.parse_args().quick
    try:
        if quick:
            measure_sizes(_SIZES[:2], requests=30)
            measure_growth(10_000, rounds=3, seconds=2)
        else:
            measure_sizes(_SIZES, requests=100)
            measure_growth(100_000, rounds=5, seconds=5)
    except BenchError as problem:
        sys.exit(str(problem))


def measure_sizes(sizes: tuple[int, ...], requests: int) -> None:
    """Measure B-3, and report how flat it is and how far ahead of the peer."""
    seen: dict[tuple[int, str], float] = {}
    for models in sizes:
        with _home() as home, _registry(models, 1) as registry:
            with servers.greenlight(registry.url, home) as url:
                for name in PRINCIPALS:
                    took = _first_page(registry, url, name, requests)
                    seen[models, name] = took
                    common.report(
                        bench="B-3", models=models, principal=name, ours_ms=took
                    )
            if models <= _LARGEST_OF_PEER:
                _report_peer(registry, home, seen[models, FEW])
    smallest, largest = sizes[0], sizes[-1]
    for name in PRINCIPALS:
        common.report(
            bench="B-3 flat",
            principal=name,
            models=largest,
            ours_ms=seen[largest, name],
            smallest_ms=seen[smallest, name],
            ratio=seen[largest, name] / seen[smallest, name],
        )


def measure_growth(models: int, rounds: int, seconds: float) -> None:
    """Measure B-14: both registries at once, loaded in turn."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(_home())
        pair = []
        for growth in (1, _GROWTH):
            registry = stack.enter_context(_registry(models, growth))
            url = stack.enter_context(servers.greenlight(registry.url, home))
            pair.append((registry, url))
        pages: list[list[float]] = [[], []]
        loads: list[list[Load]] = [[], []]
        for _ in range(rounds):
            for index, (registry, url) in enumerate(pair):
                pages[index].append(_first_page(registry, url, FEW, 30))
                loads[index].append(_resolve(registry, url, seconds))
    small, large = (statistics.median(page) for page in pages)
    common.report(
        bench="B-14 search", growth=_GROWTH, ours_ms=large, smaller_ms=small,
        ratio=large / small,
    )  # fmt: skip
    before, after = common.median(loads[0]), common.median(loads[1])
    common.report(
        bench="B-14 resolve", growth=_GROWTH, ours=after.rate, smaller=before.rate,
        ratio=before.rate / after.rate,
    )  # fmt: skip


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as path:
        os.environ["GREENLIGHT_HOME"] = f"{path}/greenlight"
        yield Path(path)


@contextlib.contextmanager
def _registry(models: int, growth: int) -> Iterator[Registry]:
    """Yield a seeded registry; each needs a process of its own to be made."""
    code = hashlib.sha256(Path(__file__).with_name("seed.py").read_bytes())
    name = f"greenlight_seed_{models}_{growth}_{code.hexdigest()[:8]}"
    with common.postgresql_database(name, keep=_keeps()) as url:
        common.say(f"seeding {models} models, growth {growth}")
        command = [sys.executable, "-m", "bench.seed", url, str(models), str(growth)]
        made = subprocess.run(command, cwd=common.ROOT, stdout=subprocess.PIPE)
        if made.returncode:
            raise BenchError(f"The seed of {models} models failed.")
        yield Registry(Size(models), url, json.loads(made.stdout))


def _keeps() -> bool:
    return os.environ.get("GREENLIGHT_BENCH_KEEP") == "1"


def _first_page(registry: Registry, url: str, name: str, requests: int) -> float:
    """Return the median of the time to a first page, in milliseconds."""
    headers = {"Authorization": f"Bearer {registry.tokens[name]}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        for _ in range(20):  # both workers have prepared their statements then
            names = _ask(client)
        if name == FEW and names != sorted(registry.size.few()):
            raise BenchError(f"{name} sees {names}.")
        took = [_time(client) for _ in range(requests)]
    return statistics.median(took)


def _time(client: httpx.Client) -> float:
    started = time.perf_counter()
    _ask(client)
    return (time.perf_counter() - started) * 1000


def _ask(client: httpx.Client) -> list[str]:
    asked = {"filter": _CLAUSE, "max_results": 10, "order_by": "name ASC"}
    page = client.get(_SEARCH, params=asked).raise_for_status().json()
    return [model["name"] for model in page.get("registered_models", [])]


def _report_peer(registry: Registry, home: Path, ours: float) -> None:
    """Ask basic-auth for the same page, as a user who may read the same ten models."""
    password = secrets.token_urlsafe(18)
    users = f"sqlite:///{home}/users.db"  # a kept database keeps no passwords
    arguments = (registry.url, home, password, 3600, "NO_PERMISSIONS", users)
    with servers.basic_auth(*arguments) as url:
        servers.create_user(url, password)
        auth = (servers.ADMIN, password)
        for name in registry.size.few():
            httpx.post(
                f"{url}/api/3.0/mlflow/users/permissions/grant",
                json={
                    "username": servers.USER,
                    "resource_type": "registered_model",
                    "resource_id": name,
                    "permission": "READ",
                },
                auth=auth,
                timeout=60,
            ).raise_for_status()
        auth = (servers.USER, password)
        with httpx.Client(base_url=url, auth=auth, timeout=600) as client:
            if _ask(client) != sorted(registry.size.few()):
                raise BenchError("basic-auth shows other models.")
            slow = registry.size.models >= _LARGEST_OF_PEER
            theirs = statistics.median(_time(client) for _ in range(1 if slow else 5))
    common.report(
        bench="B-3",
        models=registry.size.models,
        principal=FEW,
        peer="mlflow server --app-name basic-auth (credential cache on)",
        ours_ms=ours,
        theirs_ms=theirs,
        ratio=theirs / ours,
    )


def _resolve(registry: Registry, url: str, seconds: float) -> Load:
    size, token = registry.size, registry.tokens[READER]
    arguments = (size.models, size.catalogs, size.schemas, f"Bearer {token}")
    return common.wrk(
        url, _RESOLVE, connections=8, seconds=seconds, arguments=arguments
    )


if __name__ == "__main__":
    main()
