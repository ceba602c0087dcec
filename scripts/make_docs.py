"""Writes the pages of `docs/` that are made from code. `tests/test_docs.py` fails when one is old."""

import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from paperbot import cli
from paperbot.core import types as t
from paperbot.environment import Environment, credential_names
from paperbot.knobs import REALISM, Frozen, MarketKnobs
from paperbot.llm.advisor import OUTCOMES
from paperbot.llm.guards import CODES
from paperbot.market.arrays import ORDERS
from paperbot.market.layouts import LAYOUTS, Layout
from paperbot.settings import External, MeanReversion, Momentum, PatternFollower, Settings, SmaCross, UserStrategy
from paperbot.telemetry.metrics import TABLE, Spec

DOCS = Path(__file__).resolve().parent.parent / "docs"
MADE = "<!-- Made by `make docs`; changes here are overwritten. -->"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# ---- configuration ------------------------------------------------------------------------------------------------
def _plain(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "…"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_plain(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_plain(one)}' for key, one in value.items())}}}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _default(field: FieldInfo) -> str:
    return "required" if field.default is PydanticUndefined else f"`{_plain(field.default)}`"


def _allowed(field: FieldInfo) -> str:
    """What the value may be, in words, from type and bounds."""
    annotation: Any = field.annotation
    if typing.get_origin(annotation) is typing.Literal:
        return " · ".join(f"`{one}`" for one in typing.get_args(annotation))
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {getattr(constraint, name)}"
        for constraint in field.metadata
        for name, sign in signs.items()
        if getattr(constraint, name, None) is not None
    ]
    name = getattr(annotation, "__name__", "") if not typing.get_args(annotation) else "list or table"
    if (field.json_schema_extra or {}).get("format") == "duration":  # type: ignore[union-attr]
        name = "duration"
    known = {"str": "text", "int": "whole number", "float": "number", "Decimal": "number", "bool": "true or false"}
    return ", ".join([known.get(name, name.lower()), *bounds])


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Frozen):
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield f"`{prefix}{name}`", _default(field), _escaped(_allowed(field)), _escaped(field.description or "")


def config_page() -> str:
    """`docs/config.md`."""
    head = ("key", "default", "allowed", "meaning")
    kinds = (MeanReversion, SmaCross, Momentum, PatternFollower, UserStrategy, External)
    strategies = "\n\n".join(
        f"### `{typing.get_args(kind.model_fields['kind'].annotation)[0]}`\n{(kind.__doc__ or '').strip()}\n\n"
        + _table(head, list(_keys(kind)))
        for kind in kinds
    )
    names = sorted({key for preset in REALISM.values() for key in preset})
    presets = [(f"`{name}`", *(f"`{_plain(preset[key])}`" for key in names)) for name, preset in REALISM.items()]
    variables = [
        (f"`{name.upper()}`", default, allowed, meaning)
        for (name, default, allowed, meaning) in ((row[0].strip("`"), *row[1:]) for row in _keys(Environment))
    ]
    key, secret = credential_names("binance", "spot-testnet")
    return f"""{MADE}
# Configuration

Layers, later ones win: built-in values, `config/config.yaml`, `--set KEY=VALUE` on the command line. For the keys of a
symbol: built-in values,
the preset of `realism`, the profile in `config/exchanges/` that matches `exchange` and `environment`, its patterns of
symbols (the most specific last),
`execution` of the configuration, its patterns, the command line. `paperbot config show` prints every key, its value
and its source;
`paperbot config check` checks everything. An unknown key is an error with a hint.

## `config/config.yaml`

{_table(head, list(_keys(Settings)))}

## Strategies
A list. The name `llm` is reserved for the advisor.

{strategies}

## Keys of a symbol
They are set in a profile (`config/exchanges/*.yml`), under its `symbols`, under `execution` and `execution.symbols`.

{_table(head, list(_keys(MarketKnobs)))}

`realism` sets these; a profile or the configuration can override them:

{_table(("realism", *(f"`{name}`" for name in names)), presets)}

## Environment variables
Read from the environment or from `.env` in the working directory; the environment wins, and an empty variable counts
as unset.

{_table(("variable", "default", "allowed", "meaning"), variables)}

A venue's credentials are named after the configuration: `<EXCHANGE>_<ENVIRONMENT>` in capitals, `_` in place of `-`:
`{key}` and `{secret}`.
The advisor's key is in the variable that `llm.credential_env` names. Secrets are masked in all output.
"""


# ---- metrics ------------------------------------------------------------------------------------------------------
def _buckets(spec: Spec) -> str:
    return f" Buckets {', '.join(f'{edge:g}' for edge in spec.buckets)}." if spec.buckets else ""


def metrics_page() -> str:
    """`docs/metrics.md`."""
    rows = [
        (
            f"`{spec.name}`",
            spec.kind,
            ", ".join(f"`{label}`" for label in spec.labels) or "-",
            spec.unit,
            _escaped(spec.help)
            + (f" Buckets {', '.join(f'{edge:g}' for edge in spec.buckets)}." if spec.buckets else ""),
        )
        for spec in TABLE
    ]
    blocked = ", ".join(f"`{code.name.lower()}`" for code in t.Code if t.Code.NONE < code < t.Code.FILLED)
    return f"""{MADE}
# Metrics

Served at `/metrics` on `METRICS_HOST` (default 127.0.0.1) and `PROMETHEUS_PORT` (default 8000; if it is taken, the run
logs a warning and continues). Trading figures come from
the engine's output records; a scrape sees all of a batch of records or none of it. Series whose labels are known exist
as zero from the first scrape on.
The usual `process_*` metrics are served, too.

{_table(("metric", "type", "labels", "unit", "meaning"), rows)}

## Values of `reason` and `outcome`
- `orders_blocked_total`: {blocked} ([fills.md](fills.md) §2).
- `llm_guard_denied_total`, in the order of the guards: {", ".join(f"`{code}`" for code in CODES)}.
- `llm_questions_total`: {", ".join(f"`{outcome}`" for outcome in OUTCOMES)}.

## Queries

```promql
sum by (type,symbol) (orders_submitted_total)
sum by (liquidity,symbol) (fills_total)
sum by (symbol) (fees_paid_total)
equity_gauge
killswitch_trips_total
```
"""


# ---- command line -------------------------------------------------------------------------------------------------
def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def _parameter(parameter: Any) -> tuple[str, str, str]:
    is_argument = parameter.param_type_name == "argument"
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    if is_argument:
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    default = parameter.default
    is_empty = default is None or callable(default) or default is False or str(default) in {"[]", "()"} or is_argument
    shown = "-" if is_empty else f"`{default}`"
    return names, shown, _escaped(getattr(parameter, "help", "") or "")


def cli_page() -> str:
    """`docs/cli.md`."""
    sections = []
    for name, command in _commands(typer.main.get_command(cli.app), "paperbot"):
        rows = [_parameter(one) for one in command.params if one.name != "help"]
        text = " ".join((command.help or "").split())
        sections.append(f"## `{name}`\n{text}\n\n{_table(('argument or option', 'default', 'meaning'), rows)}")
    body = "\n\n".join(sections)
    return f"""{MADE}
# The command line

A user's mistake gives one sentence on standard error and exit code 2, and changes nothing; a fault of the program
gives a traceback and exit code 1.
`python -m paperbot.main` without arguments runs `paperbot demo` with `OFFLINE_DEMO=1`, and otherwise `paperbot run`.

{body}
"""


def data_page() -> str:
    """The page about market data: its prose stands in `scripts/data_page.md`, the layouts in code."""
    prose = Path(__file__).with_name("data_page.md").read_text(encoding="utf-8")
    arrays = ", ".join(ORDERS)
    return f"{MADE}\n{prose.format(layouts=''.join(map(_layout, LAYOUTS)), arrays=arrays)}"


def _layout(layout: Layout) -> str:
    units = {"base": "base", "quote": "quote", "two": "found by price x volume", "unsaid": "must be given"}
    facts = [f"volume: {units[layout.volume]}"]
    if layout.zone != "UTC":
        facts.append(f"zone: {layout.zone or 'must be given'}")
    if layout.formats:
        facts.append("times also as " + ", ".join(f"`{form}`" for form in layout.formats))
    facts += [layout.note] if layout.note else []
    example = "\n".join(layout.example)
    return f"**{_escaped(layout.title)}** ({'; '.join(facts)})\n```text\n{example}\n```\n\n"


PAGES = {"data.md": data_page, "config.md": config_page, "metrics.md": metrics_page, "cli.md": cli_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(f"docs/{name}")
