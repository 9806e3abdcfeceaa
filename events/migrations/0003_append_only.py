"""Let the databases themselves refuse to change what was logged.

A change of these tables on SQLite makes them anew, without their triggers:
call `append_only` again after it; `test_the_tables_have_their_triggers` tells.
"""

from django.db import migrations

REFUSAL = "the audit log is append-only"
# table -> when a row of it may go: it lies in an archive
LETS_GO = {
    "events_event": "OLD.sequence BETWEEN a.first_sequence AND a.last_sequence",
    "events_leaf": "OLD.id <= a.last_leaf",
    "events_checkpoint": "FALSE",
    "events_archive": "FALSE",
}
UNIQUE = {
    "events_event": ["id", "sequence"],
    "events_leaf": ["id"],
    "events_checkpoint": ["id", "sequence"],
    "events_archive": ["id", "first_sequence", "last_sequence"],
}


def append_only(apps, schema_editor):
    make = _postgresql if schema_editor.connection.vendor == "postgresql" else _sqlite
    for table, condition in LETS_GO.items():
        for statement in make(table, condition):
            schema_editor.execute(statement)


def _sqlite(table, condition):
    refuse = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    taken = " OR ".join(f"{column} = NEW.{column}" for column in UNIQUE[table])
    archived = f"EXISTS (SELECT 1 FROM events_archive a WHERE {condition})"
    return [
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
        f"WHEN NOT {archived} {refuse}",
        # a row that replaces another one is deleted by no trigger
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {taken}) {refuse}",
    ]


def _postgresql(table, condition):
    return [
        f"""CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT 1 FROM events_archive a WHERE {condition}) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation';
END $$""",
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_refuse()",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()",
    ]


def changeable(apps, schema_editor):
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for table in LETS_GO:
        if is_postgresql:
            schema_editor.execute(f"DROP FUNCTION {table}_refuse() CASCADE")
            continue
        for name in ("update", "delete", "replace"):
            schema_editor.execute(f"DROP TRIGGER {table}_no_{name}")


class Migration(migrations.Migration):
    dependencies = [("events", "0002_audit")]

    operations = [migrations.RunPython(append_only, changeable)]
