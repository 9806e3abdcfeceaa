"""Create MLflow's own tables beside ours, by MLflow's own migrations."""

from __future__ import annotations

from django.db import migrations, transaction


def create_tables(apps, schema_editor):
    # The one import of app code in a migration: MLflow's migrations need the
    # engine that borrows Django's connection.
    from registry.store import create_tables as create

    with transaction.atomic():
        create()


class Migration(migrations.Migration):
    # MLflow's migrations switch foreign keys off and on, outside a transaction
    atomic = False
    dependencies = [("registry", "0001_initial")]
    # Not reversed: MLflow's tables hold the models.
    operations = [migrations.RunPython(create_tables, migrations.RunPython.noop)]
