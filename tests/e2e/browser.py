"""How the stories of the console open, use and check a page in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from access.models import User

PASSWORD = "correct horse battery"
WIDTHS = (1280, 390)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def open_page(browser: Browser, server: LiveServer, **options: object) -> Page:
    """Open the page to sign in, in a window of its own."""
    context: BrowserContext = browser.new_context(base_url=server.url, **options)  # type: ignore[arg-type]
    page = context.new_page()
    page.on("console", _no_complaints)
    page.goto("/sign-in/")
    return page


def _no_complaints(message: object) -> None:
    """Fail on what the browser complains about, such as a breach of the CSP."""
    text = getattr(message, "text", "")
    asked_for = "404" in text or "403" in text
    if getattr(message, "type", "") == "error" and not asked_for:
        raise AssertionError(text)


def sign_in(page: Page, person: User) -> None:
    """Sign a person in by the form."""
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def check(page: Page, name: str, shots: Path) -> None:
    """Look at a page in both themes and widths, and keep screenshots.

    Nothing may stick out, and axe finds nothing wrong in any of the four.
    """
    page.evaluate(AXE_SCRIPT)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            shot = shots / f"{name}-{theme}-{width}.png"
            page.screenshot(path=shot, full_page=True)
            assert overflow(page) == 0, (name, width)
            # what depends on neither theme nor width is asked once for each
            is_first = (theme == THEMES[0]) == (width == WIDTHS[0])
            _check_access(page, f"{name}-{theme}-{width}", _ALL if is_first else _SEEN)


_ALL: dict[str, object] = {"resultTypes": ["violations"]}
# what a theme or a width can spoil
_SEEN: dict[str, object] = {
    **_ALL,
    "runOnly": {
        "type": "rule",
        "values": ["color-contrast", "target-size", "scrollable-region-focusable"],
    },
}


def _check_access(page: Page, name: str, options: dict[str, object]) -> None:
    found = AxeResults(page.evaluate("options => axe.run(document, options)", options))
    assert found.violations_count == 0, f"{name}: {found.generate_report()}"


def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than the screen."""
    script = (
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return int(page.evaluate(script))
