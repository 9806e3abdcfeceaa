"""`manage.py grants`: statements as an argument, from a file, or from stdin."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from access import services as access
from access.models import User
from access.privileges import Privilege
from registry.models import RegisteredModel

MODEL = "prod.fraud.scorer"


def run(*arguments: object) -> str:
    output = io.StringIO()
    call_command("grants", *map(str, arguments), stdout=output)
    return output.getvalue()


def test_first_admin_grants_and_shows(
    admin: User, model: RegisteredModel, grantee: User
) -> None:
    grant = f"GRANT EXECUTE ON MODEL {MODEL} TO `grantee`"
    assert "granted EXECUTE" in run(grant)
    assert "nothing: it was so" in run(grant)
    shown = run(f"SHOW GRANTS grantee ON MODEL {MODEL}")
    assert "EXECUTE" in shown
    assert f"model {MODEL}" in shown


def test_json_and_a_file_and_stdin(
    admin: User,
    model: RegisteredModel,
    grantee: User,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = f"GRANT EXECUTE ON MODEL {MODEL} TO grantee; SHOW GRANTS grantee ON MODEL {MODEL};"
    (tmp_path / "grants.sql").write_text(text)
    granted, shown = json.loads(run("--file", tmp_path / "grants.sql", "--json"))[
        "outcomes"
    ]
    assert granted["changes"] == ["granted EXECUTE"]
    assert shown["grants"][0] == {
        "principal": "grantee",
        "privilege": "EXECUTE",
        "securable_type": "model",
        "full_name": MODEL,
        "inherited": False,
        "expires_at": None,
        "granted_by": "admin",
    }
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert json.loads(run("--json"))["outcomes"][0]["changes"] == []


def test_somebody_else_is_checked_like_everywhere(
    admin: User,
    model: RegisteredModel,
    owner: User,
    grantee: User,
    use: Callable[..., None],
) -> None:
    use(grantee, Privilege.EXECUTE)
    grant = f"GRANT APPROVE ON MODEL {MODEL} TO grantee"
    with pytest.raises(CommandError, match=r"(?s)can be granted by owner.*Nothing was"):
        run(grant, "--as", "grantee")
    assert "granted APPROVE" in run(grant, "--as", "owner")
    access.deactivate(owner, principal=admin)
    with pytest.raises(CommandError, match="switched off"):
        run(grant, "--as", "owner")


def test_on_a_fresh_installation_the_metastore_is_there(
    admin: User, grantee: User
) -> None:
    assert "granted CREATE CATALOG" in run(
        "GRANT CREATE CATALOG ON METASTORE TO grantee"
    )


def test_what_cannot_be_done_is_told(db: None, tmp_path: Path) -> None:
    for arguments, said in (
        (("SHOW GRANTS ON METASTORE",), "no admin"),
        (("SHOW", "--file", tmp_path), "not both"),
        (("--file", tmp_path / "none.sql"), "none.sql"),
        (("SHOW GRANTS ON METASTORE", "--as", "nobody"), "nobody"),
    ):
        with pytest.raises(CommandError, match=said):
            run(*arguments)
