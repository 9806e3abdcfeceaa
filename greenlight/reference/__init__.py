"""The pages of docs/reference that are made from the code they tell of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from greenlight.reference import events, mlflow, operations, privileges, rest

DIRECTORY = Path(settings.BASE_DIR) / "docs" / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "events.md": events.page,
    "mlflow-routes.md": mlflow.page,
    "operations.md": operations.page,
    "privileges.md": privileges.page,
    "rest.md": rest.page,
}
_NOTE = (
    "<!-- Made by `manage.py make-docs` from the code; change that, not this page. -->"
)


def made(name: str) -> str:
    """Return one page as it should be."""
    return f"{_NOTE}\n\n{PAGES[name]().strip()}\n"
