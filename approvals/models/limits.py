"""How often somebody knocked in this minute."""

from __future__ import annotations

from django.db import models


class Knock(models.Model):
    """The tries of one caller at one thing in one minute; one row for each caller."""

    key = models.CharField(max_length=200, primary_key=True)
    # Unix time in minutes; a later one starts the count anew
    minute = models.BigIntegerField()
    tries = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.key} {self.tries}"
