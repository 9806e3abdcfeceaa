"""Slack: asked in a channel by the relay, decided by a button, told by callback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from approvals import services as approvals
from tests.examples.conftest import EVENT, SECRET, Hub, StartRelay, post, signed
from tests.examples.slack import Slack


@pytest.fixture
def slack() -> Iterator[Slack]:
    slack = Slack()
    with slack.listening():
        yield slack


def variables_for(slack: Slack, secret: str = SECRET) -> dict[str, str]:
    return {
        "GREENLIGHT_WEBHOOK_SECRET": secret,
        "SLACK_API_URL": f"{slack.url}/api",
        "SLACK_BOT_TOKEN": slack.token,
        "SLACK_SIGNING_SECRET": slack.secret,
        "SLACK_CHANNEL": slack.channel,
        "SLACK_APPROVERS": "U01APPROVER,U02APPROVER",
    }


@pytest.fixture
def relay(hub: Hub, slack: Slack, start_relay: StartRelay) -> str:
    """The relay, after it posted the message for the request."""
    address = start_relay("slack", variables_for(slack, hub.secret))
    hub.point_at(f"{address}/greenlight")
    assert hub.deliver() == 200
    return address


def test_alias_moves_when_an_approver_presses_approve(
    hub: Hub, slack: Slack, relay: str
) -> None:
    text = slack.messages[0]["blocks"][0]["text"]["text"]
    assert "better &amp; &lt;cheaper&gt;" in text
    assert hub.callback_url not in str(slack.messages)

    assert slack.press(relay, "approve") == 200

    told = slack.responses.get(timeout=10)
    assert told["text"] == (
        "prod.fraud.scorer@Champion to version 1 is applied (ada: approve)"
    )
    assert told["replace_original"] is True
    assert (hub.status, hub.champion) == ("applied", 1)
    comment = hub.approval.decisions.get().comment
    assert comment == "ada (U01APPROVER) in Slack"


def test_rejected_twice_is_rejected_once(hub: Hub, slack: Slack, relay: str) -> None:
    for _ in range(2):
        slack.press(relay, "reject")
        assert "is rejected" in slack.responses.get(timeout=10)["text"]
    assert (hub.status, hub.approval.decisions.count()) == ("rejected", 1)


def test_only_approvers_are_heard(hub: Hub, slack: Slack, relay: str) -> None:
    assert slack.press(relay, "approve", user="U99STRANGER") == 200
    told = slack.responses.get(timeout=10)
    assert told["response_type"] == "ephemeral"
    assert told["replace_original"] is False
    assert hub.status == "pending"


def test_closed_request_is_told_in_the_channel(
    hub: Hub, slack: Slack, relay: str
) -> None:
    approvals.cancel(hub.approval, principal=hub.approval.requester)
    slack.press(relay, "approve")
    assert "was not decided" in slack.responses.get(timeout=10)["text"]


def test_forged_interactions_are_refused(slack: Slack, start_relay: StartRelay) -> None:
    address = start_relay("slack", variables_for(slack))
    payload = {"type": "block_actions", "user": {"id": "U01APPROVER"}}
    assert slack.post(address, payload, secret="another") == 401
    assert slack.post(address, payload, age=400) == 401
    assert slack.post(address, payload, age=-400) == 401
    assert slack.post(address, {"type": "view_closed"}) == 200


def test_greenlight_away_leaves_the_buttons(
    slack: Slack, start_relay: StartRelay
) -> None:
    """Nothing is lost: the same button works when Greenlight is back."""
    address = start_relay("slack", variables_for(slack))
    data = {**EVENT["data"], "callback": {"url": "http://127.0.0.1:9/gone"}}
    assert post(address, signed({**EVENT, "data": data})) == 200
    slack.press(address, "approve")
    told = slack.responses.get(timeout=10)
    assert "does not answer. Press again." in told["text"]
    assert told["replace_original"] is False
