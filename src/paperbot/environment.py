"""Reads the environment and the `.env` file in the working directory; the environment wins.

An empty variable counts as unset. Secrets are `SecretStr`: neither `str` nor `repr` shows them.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from paperbot.errors import ConfigError

DOTENV = Path(".env")


class Environment(BaseSettings):
    """Switches of a run that do not concern trading itself."""

    model_config = SettingsConfigDict(env_file=DOTENV, env_ignore_empty=True, extra="ignore", frozen=True)

    offline_demo: bool = Field(default=False, description="1: run the offline demo; 0: a live session")
    hold_metrics_seconds: Annotated[float, Field(ge=0, le=86_400 * 366)] = Field(
        default=0.0, description="seconds for which `/metrics` stays up after the run"
    )
    metrics_host: str = Field(default="127.0.0.1", description="address on which `/metrics` listens")
    prometheus_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=8000, description="port of `/metrics`; 0: any free port"
    )
    enable_pattern_obs_demo: bool = Field(default=False, description="1: also emit synthetic pattern events")
    pattern_obs_demo_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        default=15.0, description="seconds between two synthetic pattern events"
    )
    log_format: Literal["console", "json"] = Field(default="console", description="format of log lines")
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = Field(
        default="INFO", description="lowest level that is written; the lines in the runbook are INFO"
    )


def read_environment() -> Environment:
    """Read and check the environment. Raises ConfigError with the variable, its value and what is allowed."""
    try:
        return Environment()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{DOTENV}: is not UTF-8: {error.reason} at byte {error.start}") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise ConfigError(f"environment: {name} = {first['input']!r}: {message}") from None


def credential_names(exchange: str, environment: str) -> tuple[str, str]:
    """Names of a venue's key and secret variables, such as `BINANCE_SPOT_TESTNET_API_KEY`."""
    prefix = f"{exchange}_{environment}".upper().replace("-", "_")
    return f"{prefix}_API_KEY", f"{prefix}_API_SECRET"


def _variables() -> Mapping[str, str]:
    try:
        stored = {name: value for name, value in dotenv_values(DOTENV).items() if value}
    except UnicodeDecodeError:  # `read_environment` reports this; here the file counts as empty.
        stored = {}
    return {**stored, **{name: value for name, value in os.environ.items() if value}}


def secret(name: str) -> SecretStr | None:
    """The variable's value without surrounding whitespace, or None if it is unset or empty.

    Raises ConfigError for a value with a character that an HTTP header cannot carry.
    """
    value = _variables().get(name, "").strip()
    if not all(character.isprintable() and character.isascii() for character in value):
        raise ConfigError(f"environment: {name} may contain only printable ASCII characters; copy it again")
    return SecretStr(value) if value else None


def required_secret(name: str, purpose: str) -> SecretStr:
    """The variable's value. Raises ConfigError with its name and purpose if it is missing."""
    value = secret(name)
    if value is None:
        raise ConfigError(f"environment: {name} is missing; {purpose} needs it, in the environment or in {DOTENV}")
    return value


MIN_UNNAMED_CHARS = 12
_SECRET_NAME = re.compile(r"(SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|SECRET_KEY|PRIVATE_KEY|ACCESS_KEY)(_ID)?$")


def known_secrets(names: Iterable[str] = ()) -> list[str]:
    """All values that output must mask.

    These are the values of the named variables and of every `*_API_KEY` and `*_API_SECRET`, and the values of other
    variables with a secret's name, if they are too long to be an ordinary word in our output.
    """
    named = {*names, *(name for name in _variables() if name.upper().endswith(("_API_KEY", "_API_SECRET")))}
    return [
        value.strip()
        for name, value in _variables().items()
        if name in named or (_SECRET_NAME.search(name.upper()) and len(value) >= MIN_UNNAMED_CHARS)
    ]
