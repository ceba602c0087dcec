"""Commands to a running session: a line of JSON over a Unix socket, answered once the command is durable."""

import asyncio
import contextlib
import hashlib
import json
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from paperbot.errors import CommandError, StateError
from paperbot.live import commands

LONGEST_PATH = 100
"""A Unix socket's path has at most 108 bytes on Linux."""

TIMEOUT_S = 10.0

Handler = Callable[[commands.Command], Awaitable[dict[str, Any]]]


def socket_path(folder: Path) -> Path:
    """The path of a session's socket: in its folder, or in the temporary folder if that path is too long."""
    path = folder.resolve() / "control.sock"
    if len(str(path).encode()) <= LONGEST_PATH:
        return path
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"paperbot-{name}.sock"


@contextlib.asynccontextmanager
async def serve(folder: Path, handle: Handler) -> Any:
    """Answer commands while the context is open. The caller holds the session's lock, so an old socket is stale."""
    path = socket_path(folder)
    path.unlink(missing_ok=True)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            try:
                command = commands.decode(await reader.readline())
            except CommandError as error:
                answer: dict[str, Any] = {"error": str(error)}
            else:
                answer = await handle(command)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(talk, str(path))
    path.chmod(0o600)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def ask(folder: Path, word: str) -> dict[str, Any]:
    """Send a command to a running session and wait for its answer. Raises StateError when none arrives."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(socket_path(folder)))
            connection.sendall(commands.encode(word))
            answer = b""
            while not answer.endswith(b"\n"):
                part = connection.recv(1 << 16)
                if not part:
                    break
                answer += part
        return json.loads(answer)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise StateError(f"{folder}: the running session does not answer: {error}") from None
