"""Are the triggers in place that keep the tables of the log append-only?"""

from __future__ import annotations

from django.db import connection

GUARDED = ["events_event", "events_leaf", "events_checkpoint", "events_archive"]

# one row per trigger that is switched on, and how many a table has
_ON_SQLITE = "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'", 3
_ON_POSTGRESQL = (
    "SELECT tgrelid::regclass::text FROM pg_trigger"
    " WHERE NOT tgisinternal AND tgenabled <> 'D'",
    2,
)


def unguarded_tables() -> list[str]:
    """Return the tables of the log that lack a trigger, or have one switched off."""
    catalog, each = _ON_SQLITE if connection.vendor == "sqlite" else _ON_POSTGRESQL
    with connection.cursor() as cursor:
        cursor.execute(catalog)
        found = [table for (table,) in cursor.fetchall()]
    return [table for table in GUARDED if found.count(table) < each]
