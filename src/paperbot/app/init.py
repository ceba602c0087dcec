"""`paperbot config init`: writes a configuration and example strategies."""

from pathlib import Path

from paperbot.config import SHIPPED
from paperbot.errors import CommandError
from paperbot.store.durable import write_whole

TEMPLATES = {
    "config/config.yaml": "config/config.yaml",
    "strategies/breakout.py": "examples/breakout.py",
    "strategies/weekday.py": "examples/weekday.py",
}
"""The files to write, and their sources in the package."""


def init(folder: Path) -> list[Path]:
    """Write the templates. Raises CommandError if one of the files exists; nothing is then written."""
    sources = {folder / name: SHIPPED / source for name, source in TEMPLATES.items()}
    existing = next((path for path in sources if path.exists()), None)
    if existing is not None:
        raise CommandError(f"{existing}: already exists; choose another folder")
    for path, source in sources.items():
        write_whole(path, source.read_bytes())
    return list(sources)
