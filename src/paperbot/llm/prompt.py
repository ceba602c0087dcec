"""Reads prompt files. A prompt's id is the file's stem; its hash shows whether two runs used the same prompt."""

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
    """A prompt file. `$situation`, `$symbols` and `$max_notional_usd` are filled in for each question."""

    id: str
    sha256: str
    template: Template

    def question(self, ts: int, situation: dict[str, Any], symbols: list[str], max_notional_usd: str) -> Question:
        """Return the question about a situation. Only numbers, times and known names enter it, as JSON."""
        text = self.template.substitute(
            situation=json.dumps(situation, sort_keys=True),
            symbols=json.dumps(symbols),
            max_notional_usd=max_notional_usd,
        )
        return Question(ts, self.id, self.sha256, text)


def read_prompt(path: Path) -> Prompt:
    """Read a prompt file. Raises ConfigError if it cannot be read or has an unknown placeholder."""
    try:
        content = path.read_bytes()
        template = Template(content.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"llm.prompt: {path}: cannot be read: {error}") from None
    placeholders = {"situation", "symbols", "max_notional_usd"}
    unknown = set(template.get_identifiers()) - placeholders
    if unknown or not template.is_valid():
        problem = f"${min(unknown)} is unknown" if unknown else "a $ has no placeholder"
        allowed = ", ".join(f"${name}" for name in sorted(placeholders))
        raise ConfigError(f"llm.prompt: {path}: {problem}; allowed are {allowed}, and $$ for a dollar sign")
    return Prompt(path.stem, hashlib.sha256(content).hexdigest(), template)
