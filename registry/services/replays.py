"""A registration that is sent again, and one that is meant again.

MLflow's client sends a request again when the answer was cut off, for minutes.
"""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.utils import timezone

from access.models import User
from registry.models import ModelVersion, RegisteredModel, VersionStatus

# Longer than the client goes on.
REPLAY = dt.timedelta(minutes=10)


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
    same = ModelVersion.objects.filter(
        model=model,
        request_digest=request_digest,
        created_by=principal,
        created_at__gt=timezone.now() - REPLAY,
    )
    over = (VersionStatus.FAILED, VersionStatus.DELETED)
    return same.select_related("model").exclude(status__in=over).first()
