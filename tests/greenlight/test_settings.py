"""The page of settings says what the code reads."""

from __future__ import annotations

import re

from django.conf import settings

_READ = re.compile(r"""(?:env|env_bool|_kept_key|get)\(\s*"(GREENLIGHT_\w+)\"""")


def test_every_setting_is_on_the_page() -> None:
    sources = [
        *(settings.BASE_DIR / "greenlight").glob("*.py"),
        *(settings.BASE_DIR / "greenlight" / "supervisor").glob("*.py"),
    ]
    read = {name for source in sources for name in _READ.findall(source.read_text())}
    page = (settings.BASE_DIR / "docs" / "reference" / "settings.md").read_text()

    assert len(read) > 15
    assert {name for name in read if f"`{name}`" not in page} == set()
