"""The command line."""

from typing import Annotated

import numpy as np
import pyarrow as pa
import typer
import yaml
from pydantic import BaseModel
from rich.console import Console

from paperbot import __version__
from paperbot.kernel import total

app = typer.Typer(no_args_is_help=True)


class Settings(BaseModel):
    """What a run is told."""

    count: int = 4


@app.command()
def version() -> None:
    """Print the version."""
    Console().print(__version__)


@app.command()
def demo(config: Annotated[str, typer.Option(help="YAML text.")] = "count: 4") -> None:
    """Add up a few numbers with every library."""
    settings = Settings.model_validate(yaml.safe_load(config))
    column = pa.array(np.arange(settings.count, dtype=np.float64))
    Console().print(f"sum = {total(column.to_numpy()):.1f}")
