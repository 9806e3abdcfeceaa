"""Wake the node agent: one datagram that may be lost, for it also ticks."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from django.conf import settings
from django.db import transaction

SOCKET = "agent.sock"


def poke_after_commit() -> None:
    """Let the agent see what this transaction changes, without waiting for its tick."""
    transaction.on_commit(poke)


def poke() -> None:
    """Wake the agent of this machine; harmless when there is none."""
    with (
        suppress(OSError),
        _gateway() as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        sender.setblocking(False)
        sender.sendto(b"1", directory.path(SOCKET))


def listen() -> socket.socket:
    """Return the socket on which pokes arrive, in place of any earlier one."""
    (settings.GATEWAY_DIR / SOCKET).unlink(missing_ok=True)
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.setblocking(False)
    with _gateway() as directory:
        receiver.bind(directory.path(SOCKET))
    return receiver


class _gateway:  # noqa: N801  # reads as a function
    """The gateway's directory as an open handle.

    The path of a unix socket may have 107 bytes. Through the handle it stays
    short, wherever the home is and whatever the working directory.
    """

    def __enter__(self) -> _gateway:
        self.handle = os.open(settings.GATEWAY_DIR, os.O_PATH | os.O_DIRECTORY)
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.handle)

    def path(self, name: str) -> str:
        return f"/proc/self/fd/{self.handle}/{name}"
