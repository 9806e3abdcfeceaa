"""What an alias pointed at, now and at any moment before."""

from __future__ import annotations

import datetime as dt

from django.db.models import QuerySet

from core.errors import NotFound
from registry.models import AliasMove, RegisteredModel


def moves_of_alias(model: RegisteredModel, name: str) -> QuerySet[AliasMove]:
    """Return every move of an alias, the latest first; deletions are moves too."""
    moves = AliasMove.objects.filter(alias__model=model, alias__name__iexact=name)
    return moves.select_related(
        "alias", "version", "previous_version", "moved_by"
    ).order_by("-generation")


def alias_as_of(model: RegisteredModel, name: str, moment: dt.datetime) -> AliasMove:
    """Return the move that put an alias where it was at a moment.

    Raises NotFound when there was no such alias then.
    """
    # by generation, not by time: two moves may share a clock's tick
    move = moves_of_alias(model, name).filter(moved_at__lte=moment).first()
    if move is None or move.version is None:
        raise NotFound(
            f"{model.full_name} had no alias {name} at {moment.isoformat()}."
        )
    return move
