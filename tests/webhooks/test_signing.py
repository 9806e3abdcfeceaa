"""Our signatures are those of the Standard Webhooks library, for any body."""

from __future__ import annotations

import datetime as dt
import uuid

from cryptography.fernet import Fernet
from django.conf import LazySettings
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from webhooks import signing

moments = st.integers(min_value=0, max_value=4_000_000_000)


@given(st.uuids(), moments, st.text(st.characters(exclude_categories=("Cs",))))
def test_signature_is_that_of_the_library(
    message_id: uuid.UUID, moment: int, text: str
) -> None:
    secret = signing.new_secret()
    headers = signing.sign([secret], str(message_id), moment, text.encode())
    at = dt.datetime.fromtimestamp(moment, tz=dt.UTC)
    assert headers["webhook-signature"] == Webhook(secret).sign(
        str(message_id), at, text
    )


def test_secret_stays_readable_when_a_key_is_put_before(settings: LazySettings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    encrypted = signing.encrypt("whsec_x")
    settings.ENCRYPTION_KEYS = [new, old]
    assert signing.decrypt(encrypted) == "whsec_x"
