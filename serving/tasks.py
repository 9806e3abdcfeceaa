"""React to a moved alias: the traffic follows it."""

from __future__ import annotations

import logging

from events.models import Event
from events.tasks import subscriber
from registry import services as registry
from serving import services as serving
from serving.services.endpoints import followers
from serving.services.traffic import lock_endpoint

logger = logging.getLogger(__name__)


@subscriber
def on_alias_set(event: Event) -> None:
    """Start a rollout on every endpoint that follows the alias.

    Where the alias points now counts, not where it pointed then: events may come
    late or twice. An endpoint whose run-as principal may not load the model any
    more keeps what it has.
    """
    endpoints = list(followers(event.subject_id, event.data["alias"]).order_by("pk"))
    for endpoint in endpoints:
        lock_endpoint(endpoint)
    for endpoint in endpoints:
        alias = registry.get_alias(endpoint.model, endpoint.alias)
        if alias is None or alias.version is None:
            continue
        if serving.run_as_problems(endpoint):
            logger.warning(
                "run-as may not load the model", extra={"full_name": endpoint.full_name}
            )
            continue
        serving.start_rollout(endpoint, alias.version, event)
