"""What a run takes from the environment, or from a `.env` file in the working directory; the environment wins.

An empty variable counts as unset. Secrets are `SecretStr`: neither `str` nor `repr` shows them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from paperbot.errors import ConfigError

DOTENV = Path(".env")


class Environment(BaseSettings):
    """The switches of a run that are no setting of the trading itself."""

    model_config = SettingsConfigDict(env_file=DOTENV, env_ignore_empty=True, extra="ignore", frozen=True)

    offline_demo: bool = Field(default=False, description="1: run the offline demo; 0: a live session")
    hold_metrics_seconds: Annotated[float, Field(ge=0, le=86_400 * 366)] = Field(
        default=0.0, description="seconds for which `/metrics` stays up after the run"
    )
    metrics_host: str = Field(default="127.0.0.1", description="address that `/metrics` listens on")
    prometheus_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=8000, description="port of `/metrics`; 0: any free one"
    )
    enable_pattern_obs_demo: bool = Field(
        default=False, description="1: emit made-up pattern events beside the engine's own"
    )
    pattern_obs_demo_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        default=15.0, description="seconds between two of them"
    )
    log_format: Literal["console", "json"] = Field(default="console", description="how log lines look")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="lines below it are not written"
    )


def read_environment() -> Environment:
    """The environment, checked. Raises ConfigError that names the variable, its value and what is allowed."""
    try:
        return Environment()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise ConfigError(f"environment: {name} = {first['input']!r}: {message}") from None


def credential_names(exchange: str, environment: str) -> tuple[str, str]:
    """Variables of a venue's key and secret: `BINANCE_SPOT_TESTNET_API_KEY` for binance and spot-testnet."""
    prefix = f"{exchange}_{environment}".upper().replace("-", "_")
    return f"{prefix}_API_KEY", f"{prefix}_API_SECRET"


def _variables() -> Mapping[str, str]:
    stored = {name: value for name, value in dotenv_values(DOTENV).items() if value}
    return {**stored, **{name: value for name, value in os.environ.items() if value}}


def secret(name: str) -> SecretStr | None:
    """The variable's value, None where it is unset or empty."""
    value = _variables().get(name)
    return SecretStr(value) if value else None


def required_secret(name: str, purpose: str) -> SecretStr:
    """The variable's value. Raises ConfigError that names it."""
    value = secret(name)
    if value is None:
        raise ConfigError(f"environment: {name} is missing; {purpose} needs it, from the environment or {DOTENV}")
    return value


def known_secrets() -> list[str]:
    """Values of all variables whose names say that they hold a secret, for the redactor."""
    words = {"SECRET", "TOKEN", "PASSWORD", "PASSWD", "KEY"}
    return [value for name, value in _variables().items() if words & set(name.upper().split("_"))]
