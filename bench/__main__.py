"""Run every measurement, one after the other: python -m bench [--quick]."""

from __future__ import annotations

import subprocess
import sys

# Each in its own process: Django takes one database, and one pins its cores.
_MODULES = (
    "bench.registry",
    "bench.search",
    "bench.writes",
    "bench.transfers",
    "bench.gateway",
    "bench.webhooks",
)


def main() -> None:
    """Run all, even after a failure; exit with how many failed."""
    commands = [[sys.executable, "-m", name, *sys.argv[1:]] for name in _MODULES]
    sys.exit(sum(subprocess.run(command).returncode != 0 for command in commands))


if __name__ == "__main__":
    main()
