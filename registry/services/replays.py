"""A registration that is sent again, and one that is meant again.

MLflow's client sends a request again when the answer was cut off, for minutes.
"""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from access.models import User
from core.prepared import Prepared
from registry.models import ModelVersion, RegisteredModel, VersionStatus

# Longer than the client goes on.
REPLAY = dt.timedelta(minutes=10)


_OVER = (VersionStatus.FAILED, VersionStatus.DELETED)
_ANSWERED = Prepared[ModelVersion](
    lambda model_id, digest, caller_id, since: (
        ModelVersion.objects.filter(
            model_id=model_id,
            request_digest=digest,
            created_by_id=caller_id,
            created_at__gt=since,
        )
        .exclude(status__in=_OVER)
        .select_related("model")
    ),
    UUID,
    str,
    UUID,
    dt.datetime,
)


@transaction.atomic
def expect_new_version(model: RegisteredModel, *, principal: User) -> None:
    """Take the caller's next registration for a new one, whatever it looks like.

    Before each registration MLflow's client tries to create the model; when it
    sends a cut-off registration again, it does not. So this is what tells a
    deliberate repetition from a replay.
    """
    asked = ModelVersion.objects.filter(model=model, created_by=principal)
    asked.exclude(request_digest="").update(request_digest="")


def find_answered(
    model: RegisteredModel, request_digest: str, *, principal: User
) -> ModelVersion | None:
    """Return the version that a replayed request has made already."""
    if not request_digest:
        return None
    since = timezone.now() - REPLAY
    return _ANSWERED.first(model.pk, request_digest, principal.pk, since)
