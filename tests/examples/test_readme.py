"""What the pages print can be pasted."""

from __future__ import annotations

import os
import re
import subprocess

from pytest_django.live_server_helper import LiveServer

from access import services as access
from access.models import User
from approvals.models import Policy
from registry.models import Schema
from tests.examples.standins import EXAMPLES
from webhooks.models import Webhook


def commands(page: str) -> list[str]:
    """Return the indented commands of a page, each with its continuation lines."""
    text = (EXAMPLES / page).read_text()
    return re.findall(r"^ +(curl .*(?:\n +.*)*)", text, re.MULTILINE)


def test_webhook_and_policy_are_made_as_printed(
    live_server: LiveServer, admin: User, schema: Schema
) -> None:
    token = access.issue_token(admin, "t", principal=admin)
    for command in commands("README.md"):
        done = subprocess.run(
            ["bash", "-c", command],
            env={
                "PATH": os.environ["PATH"],
                "GREENLIGHT_URL": live_server.url,
                "ADMIN_TOKEN": token,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert Policy.objects.get().callback_may_approve
    assert Webhook.objects.get().event_types == ["approval.requested"]


def test_every_example_says_which_variables_it_reads() -> None:
    common = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.glob("*/relay.py"):
        read = set(re.findall(r'setting\(\s*"(\w+)"', path.read_text()))
        page = common + (path.parent / "README.md").read_text()
        assert not {name for name in read if f"`{name}`" not in page}
