"""Keeps secrets out of everything that is written: log lines, errors, tracebacks."""

import base64
import json
import urllib.parse
from collections.abc import Iterable

MASK = "********"
MIN_SECRET_CHARS = 6
SECRET_WORDS = ("secret", "key", "token", "password", "authorization")


def is_secret_name(name: str) -> bool:
    """Whether a key's name says that its value is a secret: `api_key`, `llm.token`."""
    words = name.rsplit(".", 1)[-1].lower().replace("-", "_").split("_")
    return any(word in words for word in SECRET_WORDS)


class Redactor:
    """Replaces known secrets in text, also where they stand quoted, JSON-escaped or in base64.

    A value of fewer than six characters is no secret to it: masking it would mangle innocent words.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: list[str] = []
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Mask this value from now on."""
        if len(secret) < MIN_SECRET_CHARS:
            return
        forms = {
            secret,
            urllib.parse.quote(secret, safe=""),
            json.dumps(secret)[1:-1],
            base64.b64encode(secret.encode()).decode().rstrip("="),
        }
        self._forms = sorted({*self._forms, *forms}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text
