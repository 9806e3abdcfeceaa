"""`manage.py doctor` says what is wrong and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings


def doctor(home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), "doctor"],
        env={**os.environ, "GREENLIGHT_HOME": str(home), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_trouble_is_told_with_its_remedy(tmp_path: Path) -> None:
    said = doctor(
        tmp_path,
        GREENLIGHT_DATABASE_URL=f"sqlite:///{tmp_path / 'empty.sqlite3'}",
        GREENLIGHT_BROKER_URL="redis://127.0.0.1:1/0",
        GREENLIGHT_ENVOY_BIN=str(tmp_path / "no-envoy"),
        GREENLIGHT_ARTIFACTS="gs://bucket/models",
    )

    assert said.returncode == 1, said.stderr
    assert "FAIL  database: its tables are not up to date" in said.stdout
    assert "check GREENLIGHT_BROKER_URL" in said.stdout
    assert "check GREENLIGHT_ENVOY_BIN" in said.stdout
    assert "pip install gcsfs; check GREENLIGHT_ARTIFACTS" in said.stdout
    assert "ok    keys:" in said.stdout


def test_open_keys_are_told(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)

    said = doctor(tmp_path)

    assert f"run chmod 700 {tmp_path / 'keys'}" in said.stdout
    assert f"ok    artifacts: {tmp_path / 'artifacts'}" in said.stdout
