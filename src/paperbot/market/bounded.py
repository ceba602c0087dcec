"""An HTTP session with bounds on what a server may send."""

import contextlib
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

MAX_BODY_BYTES = 10 << 20
MAX_MESSAGE_BYTES = 1 << 20


class AnswerError(Exception):
    """You meet it when a server's answer is too large or damaged."""


class BoundedSession:
    """An HTTP session that takes no more than a bot can hold.

    A body has at most 10 MB once it is unpacked, a message of a stream 1 MB, and no redirect is followed: it could lead
    to another host. Everything else is the session's own.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        """Whatever is not bounded here."""
        return getattr(self._session, name)

    @contextlib.asynccontextmanager
    async def get(self, url: Any, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """GET a URL and read its body. Raises AnswerError for a body that is too large or damaged."""
        request = self._session.get(url, allow_redirects=False, auto_decompress=False, **options)
        async with request as response:
            packed = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                packed += chunk
                if len(packed) > MAX_BODY_BYTES:
                    raise AnswerError(f"the answer is larger than {MAX_BODY_BYTES >> 20} MB")
            response._body = _unpacked(bytes(packed), response.headers.get("Content-Encoding", ""))  # noqa: SLF001
            yield response

    def ws_connect(self, url: Any, **options: Any) -> Any:
        """Connect to a stream."""
        return self._session.ws_connect(url, **{**options, "max_msg_size": MAX_MESSAGE_BYTES})


def _unpacked(packed: bytes, encoding: str) -> bytes:
    if encoding.strip().lower() in {"", "identity"}:
        return packed
    try:
        # With 32 added, zlib finds out by itself whether it is gzip or zlib.
        body = zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(packed, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise AnswerError(f"the answer cannot be unpacked ({encoding[:20]})") from None
    if len(body) > MAX_BODY_BYTES:
        raise AnswerError(f"the answer is larger than {MAX_BODY_BYTES >> 20} MB")
    return body
