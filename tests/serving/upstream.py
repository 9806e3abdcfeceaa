"""A tiny model server: answers every request with its version and what it was sent."""

from __future__ import annotations

import asyncio
import json
import sys


async def serve(socket: str, version: str) -> None:
    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while head := await _head(reader):
            lines = head.decode().split("\r\n")
            headers = dict(
                line.lower().split(": ", 1) for line in lines[1:] if ": " in line
            )
            await reader.readexactly(int(headers.get("content-length", "0")))
            body = json.dumps(
                {"version": version, "path": lines[0].split()[1], "headers": headers}
            ).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
            writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_unix_server(handle, socket)
    await server.serve_forever()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[sys.argv.index("--uds") + 1], sys.argv[-1]))
