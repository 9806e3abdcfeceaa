"""Keep the model servers as the rows want them: start, watch, drain, stop."""

from __future__ import annotations

import datetime as dt
import os
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor

from django.utils import timezone

from registry import artifacts
from serving import services as serving
from serving.gateway import Gateway, Observation
from serving.models import ModelServer, ServerStatus
from serving.servers import local

S = ServerStatus
_START_LIMIT_SECONDS = 180.0
_DRAIN_LIMIT = dt.timedelta(seconds=30)


class Keeper:
    """Owner of the model servers of one machine."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._processes: dict[uuid.UUID, local.Process] = {}
        self._answered: set[uuid.UUID] = set()
        self._checks: dict[uuid.UUID, Future[list[str]]] = {}
        self._checker = ThreadPoolExecutor(1, thread_name_prefix="verify")

    def adopt(self, servers: list[ModelServer]) -> None:
        """Take over the servers that run already; end the ones that nobody knows."""
        found = local.running()
        for server in servers:
            process = found.pop(server.pk, None)
            if process is None:
                serving.expect_start(server)
                continue
            self._processes[server.pk] = process
            serving.mark_running(server, process.pid, process.started)
        for process in found.values():
            process.stop()

    def tend(self, server: ModelServer, seen: Observation) -> None:
        """Do the next thing that a server needs, if anything."""
        process = self._processes.get(server.pk)
        is_running = process is not None and process.is_running
        if server.status == S.DRAINING:
            self._drain(server, seen)
        elif not server.wanted:
            serving.start_draining(server)
        elif is_running:
            self._watch(server, seen)
        elif server.pid is not None:
            self._answered.discard(server.pk)
            serving.mark_crashed(server, local.last_words(server.pk) or "it ended")
        else:
            self._start(server)

    def _start(self, server: ModelServer) -> None:
        """Start a server once its bytes are proven to be what was registered."""
        if server.next_start_at and server.next_start_at > timezone.now():
            return
        if server.healthy_at is None and serving.run_as_problems(server.endpoint):
            run_as = server.endpoint.run_as.username
            serving.mark_failed(
                server, f"{run_as} may not load {server.version.full_name}"
            )
            return
        check = self._checks.get(server.pk)
        if check is None:
            job = self._checker.submit(artifacts.prepare, server.version)
            self._checks[server.pk] = job
            return
        if check.done():
            del self._checks[server.pk]
            self._start_checked(server, check)

    def _start_checked(self, server: ModelServer, check: Future[list[str]]) -> None:
        if error := check.exception():
            serving.mark_crashed(server, f"its files cannot be read: {error}")
            return
        if problems := check.result():
            serving.refuse_tampered(server, problems)
            return
        process = local.start(server.pk, artifacts.local_directory(server.version))
        self._processes[server.pk] = process
        serving.mark_running(server, process.pid, process.started)

    def _watch(self, server: ModelServer, seen: Observation) -> None:
        """See a starting server to health: it answers, then Envoy agrees."""
        if server.status == S.HEALTHY:
            return
        if server.pk not in self._answered and local.answers(server.pk):
            self._answered.add(server.pk)
        if server.pk in self._answered and seen.is_healthy(server.cluster):
            serving.mark_healthy(server)
        elif self._is_late(server):
            self._processes[server.pk].kill()

    def _is_late(self, server: ModelServer) -> bool:
        ticks = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
        age = (ticks - self._processes[server.pk].started) / os.sysconf("SC_CLK_TCK")
        return server.pk not in self._answered and age > _START_LIMIT_SECONDS

    def _drain(self, server: ModelServer, seen: Observation) -> None:
        """Routes forget it, its requests end, its cluster goes, then it does."""
        process = self._processes.get(server.pk)
        if process is None or not process.is_running:
            self._forget(server)
            return
        if server.drained_at is None:
            cluster = server.cluster
            if not self._gateway.forgot(cluster, seen):
                return
            if seen.active_requests(cluster) == 0 or self._drains_long(server):
                serving.mark_drained(server)
        elif timezone.now() - server.drained_at > _DRAIN_LIMIT:
            process.kill()
        elif self._gateway.removed(seen):
            process.stop()

    def _drains_long(self, server: ModelServer) -> bool:
        since = server.draining_at
        return since is not None and timezone.now() - since > _DRAIN_LIMIT

    def is_exposed(self, server: ModelServer) -> bool:
        """Tell whether Envoy should know it: from its first answer until it is drained."""
        if server.drained_at is not None:
            return False
        return server.healthy_at is not None or server.pk in self._answered

    def _forget(self, server: ModelServer) -> None:
        self._processes.pop(server.pk, None)
        self._answered.discard(server.pk)
        local.clean_up(server.pk)
        serving.mark_stopped(server)
