"""`manage.py verify_audit` finds what was changed behind the application's back."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from registry.models import Schema
from tests.events.attacker import without_triggers


def test_an_untouched_log_is_whole(schema: Schema) -> None:
    output = StringIO()

    call_command("verify_audit", stdout=output)

    assert output.getvalue() == "2 events, an unbroken chain.\n"


def test_an_edited_event_is_named(schema: Schema) -> None:
    with without_triggers(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE events_event SET actor_name = 'nobody' WHERE sequence = 1"
        )
    output, errors = StringIO(), StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit", stdout=output, stderr=errors)

    assert ended.value.code == 1
    assert output.getvalue() == "event 1: was edited\n"
