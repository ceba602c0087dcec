"""Prompts are files; a prompt's id is its file's stem, and its hash tells whether two runs asked the same thing."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from paperbot.errors import ConfigError
from paperbot.llm.contract import Question


@dataclass(frozen=True)
class Prompt:
    """A prompt file as it was read; `$situation`, `$symbols`, `$max_notional_usd` are filled in for each question."""

    id: str
    sha256: str
    template: Template

    def question(self, ts: int, situation: dict[str, Any], symbols: list[str], max_notional_usd: str) -> Question:
        """The question about a situation. Only numbers, times and known names enter it, as JSON."""
        text = self.template.substitute(
            situation=json.dumps(situation, sort_keys=True),
            symbols=json.dumps(symbols),
            max_notional_usd=max_notional_usd,
        )
        return Question(ts, self.id, self.sha256, text)


def read_prompt(path: Path) -> Prompt:
    """Read a prompt file. Raises ConfigError when it is missing, unreadable, or has a placeholder that is unknown."""
    try:
        content = path.read_bytes()
        template = Template(content.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"llm.prompt: {path}: cannot be read: {error}") from None
    known = {"situation", "symbols", "max_notional_usd"}
    unknown = set(template.get_identifiers()) - known
    if unknown or not template.is_valid():
        what = f"${min(unknown)} is unknown" if unknown else "a $ stands for nothing"
        raise ConfigError(f"llm.prompt: {path}: {what} (known: {', '.join(sorted(known))}; $$ is a dollar sign)")
    return Prompt(path.stem, hashlib.sha256(content).hexdigest(), template)
