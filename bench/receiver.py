"""Receivers of webhooks in a process of their own: receiver.py LOG PORT... [slow:PORT].

Every message is answered at once, over persistent connections, and noted as a line
`port value sent_at received_at` of LOG. A receiver that is `slow` never answers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TextIO

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


async def main() -> None:
    with Path(sys.argv[1]).open("a", buffering=1) as log:
        servers = [await _listen(argument, log) for argument in sys.argv[2:]]
        await asyncio.gather(*(server.serve_forever() for server in servers))


async def _listen(argument: str, log: TextIO) -> asyncio.Server:
    slow, _, port = argument.rpartition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                body = await _read(reader)
                if slow:
                    await asyncio.sleep(3600)
                _note(log, port, body)
                writer.write(_ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", int(port), backlog=512)


async def _read(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    return await reader.readexactly(length)


def _note(log: TextIO, port: str, body: bytes) -> None:
    message = json.loads(body)
    sent_at = datetime.fromisoformat(message["timestamp"]).timestamp()
    log.write(f"{port} {message['data']['value']} {sent_at} {time.time()}\n")


if __name__ == "__main__":
    asyncio.run(main())
