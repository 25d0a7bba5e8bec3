"""A loopback bridge: a method's unix socket as a TCP port of this machine, for tools that only speak HTTP over TCP.

So `lm_eval run --model local-completions` evaluates a server entry as it is. Bytes are passed on unread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

HOST = "127.0.0.1"
_CHUNK = 1 << 16


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        target.write(chunk)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()


def require_socket(socket: Path) -> None:
    """Raises `ValueError` when nothing can listen at `socket`."""
    if not socket.is_socket():
        raise ValueError(f"socket: {socket} is no unix socket; start the server first")


@asynccontextmanager
async def bridge(socket: Path, port: int = 0) -> AsyncIterator[int]:
    """Listen on `port` of the loopback interface (0: a free one) while the context lasts; yields the port.

    Raises `ValueError` when there is no socket at `socket` or the port is taken.
    """
    require_socket(socket)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            own_reader, own_writer = await asyncio.open_unix_connection(str(socket))
            with suppress(OSError):
                await asyncio.gather(_pass_on(reader, own_writer), _pass_on(own_reader, writer))
            own_writer.close()
        writer.close()

    try:
        server = await asyncio.start_server(connected, HOST, port)
    except OSError as error:
        raise ValueError(f"port: {port} of {HOST} can't be listened on ({error.strerror}); name another") from None
    async with server:
        yield int(server.sockets[0].getsockname()[1])
