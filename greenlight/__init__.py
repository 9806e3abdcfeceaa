"""The composition root: settings, URLs, Celery, and who reacts to what."""

from __future__ import annotations

import os

# before anything imports MLflow, which would report its use over the network
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from greenlight.celery import app as celery_app  # see above

__all__ = ["celery_app"]
