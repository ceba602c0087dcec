"""Masks secrets in everything that is written: log lines, errors, tracebacks and tables."""

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any, TextIO

MASK = "********"
MIN_SECRET_CHARS = 6
SECRET_WORDS = {
    *("secret", "key", "apikey", "token", "password", "passwd", "passphrase"),
    *("authorization", "signature", "cookie"),
}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_USERINFO = re.compile(r"(?<=://)[^/@\s:]+:[^/@\s]+(?=@)")


def is_secret_name(name: str) -> bool:
    """Whether a key's name marks its value as a secret, such as `api_key`, `secretKey` or `X-MBX-APIKEY`."""
    return any(word.lower() in SECRET_WORDS for word in _WORD.findall(name.rsplit(".", 1)[-1]))


class Redactor:
    """Masks known secrets in text, including quoted, escaped and base64 forms, and credentials in URLs.

    Values of fewer than six characters are not masked, because that would mangle ordinary words.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: list[str] = []
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Mask this value from now on."""
        if len(secret) < MIN_SECRET_CHARS:
            return
        percent = urllib.parse.quote(secret, safe="")
        forms = {
            secret,
            percent,
            re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), percent),
            urllib.parse.quote_plus(secret),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
            base64.b64encode(secret.encode()).decode().rstrip("="),
            base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
        }
        self._forms = sorted({*self._forms, *forms}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text with all secrets masked."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return _USERINFO.sub(MASK, text) if "://" in text else text

    def values(self, value: Any) -> Any:
        """A copy of the value with all its texts redacted, and the values of keys that name a secret masked."""
        if isinstance(value, dict):
            return {key: MASK if is_secret_name(str(key)) else self.values(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.values(item) for item in value]
        return self(value) if isinstance(value, str) else value


class RedactingStream:
    """Wraps a text stream and redacts what is written to it, line by line."""

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor
        self._rest = ""

    def write(self, text: str) -> int:
        """Write all complete lines, redacted; keep an incomplete last line until it ends."""
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        if lines:
            self._stream.write("".join(self._redactor(line) + "\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        """Write an incomplete last line, redacted, and flush the stream."""
        if self._rest:
            self._stream.write(self._redactor(self._rest))
            self._rest = ""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Pass every other attribute through to the stream."""
        return getattr(self._stream, name)
