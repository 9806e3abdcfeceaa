"""Which processes a one-machine stack is made of, as supervisord's configuration."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from greenlight.supervisor import keep
from serving import envoy

_SCRIPTS = Path(__file__).parent

_HEADER = f"""\
# Written by `manage.py up` at every start; changes are lost.
[supervisord]
nodaemon = true
silent = true
umask = 077
logfile = logs/supervisord.log
logfile_maxbytes = 5MB
logfile_backups = 1
pidfile = supervisord.pid
childlogdir = logs

[unix_http_server]
file = {keep.SOCKET}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://{keep.SOCKET}
"""


@dataclass(frozen=True)
class Program:
    """A long-running process, and the seconds it may take to stop."""

    name: str
    command: list[str]
    stop_seconds: int = 10


def programs() -> list[Program]:
    """Return the static processes, in the order of their start.

    Model servers are not among them: the agent starts and stops those.
    """
    python, manage = sys.executable, str(settings.BASE_DIR / "manage.py")
    web = [python, "-m", "greenlight.supervisor.web"]
    celery = [python, "-m", "celery", "-A", "greenlight", "worker", "--loglevel=INFO"]
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    workers = os.environ.get("GREENLIGHT_WEB_WORKERS", "2")
    return [
        Program("web", [*web, "gateway/web.sock", workers, "1"]),
        Program("bytes", [*web, "gateway/bytes.sock", "1", "8"]),
        Program("worker", [*celery, *alone], stop_seconds=15),
        Program("agent", [python, manage, "agent"], stop_seconds=20),
        Program("envoy", envoy.command(settings.GATEWAY_DIR), stop_seconds=5),
    ]


def write_configuration() -> Path:
    """Write supervisord's configuration into the home and return its path."""
    sections = [_HEADER, *(map(_section, range(1, 99), programs()))]
    path: Path = settings.HOME / "supervisord.conf"
    path.write_text("\n".join(sections))
    return path


def _section(priority: int, program: Program) -> str:
    shim = [sys.executable, "-P", str(_SCRIPTS / "shim.py")]
    command = shlex.join([*shim, *program.command]).replace("%", "%%")
    return f"""\
[program:{program.name}]
command = {command}
priority = {priority}
startsecs = 10
startretries = 3
autorestart = true
stopasgroup = true
killasgroup = true
stopwaitsecs = {program.stop_seconds}
redirect_stderr = true
stdout_logfile = logs/{program.name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 2
"""
