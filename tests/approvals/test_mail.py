"""What a notice looks like, and how it gets to a real SMTP server."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import socket
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import pytest
import time_machine
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.utils import timezone

from access.models import User
from access.privileges import Privilege
from approvals import mail
from approvals.models import ApprovalRequest, Notice
from greenlight.email_url import email_settings
from tests.factories import UserFactory


class Mailbox:
    """What the server took, and what it answers to an address."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answers: dict[str, str] = {}

    async def handle_RCPT(  # noqa: N802  # aiosmtpd calls it so
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        if refusal := self.answers.get(address):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  # aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(
            envelope.content, policy=email.policy.default
        )
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        self.recipients.append(envelope.rcpt_tos)
        return "250 OK"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def port(settings: LazySettings) -> int:
    """The port that our settings name, where nobody listens yet."""
    port = free_port()
    for name, value in email_settings(f"smtp://127.0.0.1:{port}").items():
        setattr(settings, name, value)
    settings.MAIL_IS_ON = True
    return port


@pytest.fixture
def mailbox(port: int) -> Iterator[Mailbox]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box
    controller.stop()


@pytest.fixture
def notice(approval: ApprovalRequest, reviewer: User) -> Notice:
    User.objects.filter(pk=reviewer.pk).update(email="reviewer@example.org")
    reviewer.refresh_from_db()
    return Notice.objects.create(request=approval, recipient=reviewer, kind="asked")


def later(**span: float) -> Any:
    return time_machine.travel(timezone.now() + dt.timedelta(**span), tick=False)


def test_real_server_takes_text_and_html(mailbox: Mailbox, notice: Notice) -> None:
    mail.send_due()
    (message,) = mailbox.taken
    assert mailbox.recipients == [["reviewer@example.org"]]
    assert message["To"] == "reviewer@example.org"
    assert message["Message-ID"] == f"<{notice.pk}@127.0.0.1>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe"].endswith("/account/>")
    text = message.get_body(("plain",))
    html = message.get_body(("html",))
    assert text is not None
    assert html is not None
    for body in (text.get_content(), html.get_content()):
        assert notice.request.url in body
        assert notice.request.digest in body
        assert "1 more approval by somebody with APPROVE" in body
        assert "callbacks/" not in body
    notice.refresh_from_db()
    assert (notice.status, notice.error) == ("sent", "")


def test_link_needs_sign_in_and_decides_nothing(
    notice: Notice, reviewer: User, client: Client
) -> None:
    path = "/" + notice.request.url.split("/", 3)[3]
    assert path in mail.message(notice).body
    assert client.get(path)["Location"].startswith("/sign-in/")
    client.force_login(reviewer)
    page = client.get(path).content.decode()
    assert 'method="post"' in page
    decide = f"{path}decide/"
    client.get(f"{decide}?verdict=approve&digest={notice.request.digest}")
    assert not notice.request.decisions.exists()


def test_names_cannot_add_headers_or_markup(notice: Notice) -> None:
    evil = "x\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>"
    notice.request.alias = evil
    notice.request.reason = evil
    notice.request.requester.username = evil
    message = mail.message(notice)
    sent = email.message_from_bytes(message.message().as_bytes())
    assert "Bcc" not in sent
    assert sent["To"] == "reviewer@example.org"
    assert "\n" not in message.subject
    assert len(message.subject) <= 180
    html = message.alternatives[0][0]
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    "address", ["", "nobody", "a@b.org\nBcc: c@d.org", "a@b.org, c@d.org"]
)
def test_what_is_no_address_gets_nothing(
    mailbox: Mailbox, notice: Notice, address: str
) -> None:
    User.objects.filter(pk=notice.recipient_id).update(email=address)
    mail.send_due()
    notice.refresh_from_db()
    assert notice.status == "dropped"
    assert not mailbox.taken


@pytest.mark.parametrize("field", ["wants_mail", "is_active"])
def test_who_opted_out_or_left_gets_nothing(
    mailbox: Mailbox, notice: Notice, field: str
) -> None:
    User.objects.filter(pk=notice.recipient_id).update(**{field: False})
    mail.send_due()
    assert not mailbox.taken


def test_server_that_is_away_is_tried_again_with_growing_pauses(
    port: int, notice: Notice
) -> None:
    pauses = []
    for _ in range(7):
        notice.refresh_from_db()
        with time_machine.travel(notice.next_attempt_at, tick=False):
            mail.send_due()
            notice.refresh_from_db()
            pauses.append((notice.next_attempt_at - timezone.now()).total_seconds())
    assert pauses[:6] == [60, 300, 1800, 7200, 21600, 43200]
    assert (notice.status, notice.error) == ("failed", "ConnectionRefusedError")


def test_mail_gets_through_when_the_server_is_back(
    port: int, notice: Notice, request: pytest.FixtureRequest
) -> None:
    mail.send_due()
    mail.send_due()
    notice.refresh_from_db()
    assert (notice.status, notice.failures) == ("pending", 1)
    box: Mailbox = request.getfixturevalue("mailbox")
    with later(minutes=2):
        mail.send_due()
    assert len(box.taken) == 1
    notice.refresh_from_db()
    assert notice.status == "sent"


def test_one_refused_address_holds_up_nobody(
    mailbox: Mailbox, notice: Notice, use: Callable[..., None], admin: User
) -> None:
    busy = UserFactory(username="busy", email="busy@example.org")
    fine = UserFactory(username="fine", email="fine@example.org")
    for user in (busy, fine):
        use(user, Privilege.APPROVE)
        Notice.objects.create(request=notice.request, recipient=user, kind="asked")
    mailbox.answers = {
        "reviewer@example.org": "550 5.1.1 no such user, password hunter2",
        "busy@example.org": "450 4.2.0 try later",
    }
    mail.send_due()
    states = {
        one.recipient.username: (one.status, one.error)
        for one in Notice.objects.select_related("recipient")
    }
    assert states == {
        "approver": ("failed", "recipient refused (550)"),
        "busy": ("pending", "recipient refused (450)"),
        "fine": ("sent", ""),
    }


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}),
        (
            "console:",
            {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"},
        ),
        ("file:///var/mail/a%20b", {"EMAIL_FILE_PATH": "/var/mail/a b"}),
        ("smtp://mx", {"EMAIL_PORT": 25, "EMAIL_USE_TLS": False}),
        (
            "smtp+starttls://me%40x:p%2Fw@mx:2525",
            {
                "EMAIL_HOST": "mx",
                "EMAIL_PORT": 2525,
                "EMAIL_HOST_USER": "me@x",
                "EMAIL_HOST_PASSWORD": "p/w",
                "EMAIL_USE_TLS": True,
                "EMAIL_USE_SSL": False,
            },
        ),
        ("smtps://mx", {"EMAIL_PORT": 465, "EMAIL_USE_SSL": True}),
    ],
)
def test_url_says_where_mail_goes(url: str, expected: dict[str, Any]) -> None:
    assert expected.items() <= email_settings(url).items()


@pytest.mark.parametrize("url", ["mx.example.org", "http://mx", "smtp://", "file:"])
def test_wrong_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        email_settings(url)
    assert "GREENLIGHT_EMAIL_URL must be" in str(refused.value)
