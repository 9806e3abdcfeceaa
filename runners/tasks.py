"""The doorbells: short tasks with an id in; the keeper rings again if one is lost."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from runners.finalize import finalize_run
from runners.keeper import move_runs
from runners.launch import launch_run

__all__ = ["finalize", "launch", "move_runs"]


@shared_task
def launch(run_id: str) -> None:
    """Start the next attempt at a queued run."""
    launch_run(UUID(run_id))


@shared_task
def finalize(run_id: str) -> None:
    """Finish a run whose training has ended."""
    finalize_run(UUID(run_id))
