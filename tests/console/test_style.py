"""The budgets of the console's style sheet and templates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CONSOLE = Path(__file__).parents[2] / "console"
TEMPLATES = sorted((CONSOLE / "templates").rglob("*.html"))
STYLE_SHEET = CONSOLE / "static" / "console" / "console.css"


def test_style_sheet_stays_small() -> None:
    text = STYLE_SHEET.read_text()
    assert len(text.splitlines()) <= 600
    assert len(text) <= 15_000


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_template_stays_readable(template: Path) -> None:
    text = template.read_text()
    assert len(text.splitlines()) <= 150
    assert all(
        len(names.split()) <= 2 for names in re.findall(r'class="([^"]*)"', text)
    )


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_template_holds_no_inline_code(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
