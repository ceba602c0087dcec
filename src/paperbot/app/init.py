"""`paperbot config init`: a configuration and strategies to begin with."""

from pathlib import Path

from paperbot.config import SHIPPED
from paperbot.errors import CommandError
from paperbot.store.durable import write_whole

TEMPLATES = {
    "config/config.yaml": "config/config.yaml",
    "strategies/breakout.py": "examples/breakout.py",
    "strategies/weekday.py": "examples/weekday.py",
}
"""What is written, and what comes with the package."""


def init(folder: Path) -> list[Path]:
    """Write the templates. Raises CommandError when one of them is there already; then nothing is written."""
    wanted = {folder / name: SHIPPED / source for name, source in TEMPLATES.items()}
    there = next((path for path in wanted if path.exists()), None)
    if there is not None:
        raise CommandError(f"{there}: is there already; choose another folder")
    for path, source in wanted.items():
        write_whole(path, source.read_bytes())
    return list(wanted)
