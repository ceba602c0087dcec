"""`paperbot doctor`: checks everything that a live session needs."""

import asyncio
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paperbot.clock import SystemClock, format_ts
from paperbot.config import ConfigFiles
from paperbot.environment import Environment, credential_names, secret
from paperbot.errors import OutputError, PaperbotError, StateError
from paperbot.live.link import live_configuration, live_plan, make_source
from paperbot.live.session import current_session
from paperbot.live.start import sessions_root
from paperbot.market.source import MS, SourceError
from paperbot.store.journal import Journal, is_locked

Tree = dict[str, Any]

FREE_BYTES = 200 << 20


def doctor(
    environment: Environment, config: Path | None, out: Path, overrides: Sequence[dict[str, Any]] = ()
) -> list[tuple[str, bool, str]]:
    """Check clock, disk, port, configuration, credentials and journal. Returns (subject, passed, details) for each."""
    results: list[tuple[str, bool, str]] = []

    def check(subject: str, test: Any) -> Any:
        try:
            details = test()
        except (PaperbotError, OSError) as error:
            results.append((subject, False, str(error)))
            return None
        results.append((subject, True, str(details)))
        return details

    check("clock", lambda: format_ts(SystemClock.now_ns())[:19] + "Z")
    check("disk", lambda: _disk(out))
    check("port", lambda: _port(environment))
    configuration = check("configuration", lambda: _configuration(config, overrides))
    if configuration is not None:
        check("credentials", lambda: _credentials(config, overrides))
    check("journal", lambda: _journal(out))
    return results


def _disk(out: Path) -> str:
    folder = next(path for path in (out, *out.resolve().parents) if path.exists())
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder}: cannot be written")
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise OutputError(f"{folder}: only {free >> 20} MiB are free")
    return f"{free >> 20} MiB free in {folder}"


def _port(environment: Environment) -> str:
    place = f"{environment.metrics_host}:{environment.prometheus_port}"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((environment.metrics_host, environment.prometheus_port))
        except OSError as error:
            raise OutputError(f"{place}: {error.strerror}; set PROMETHEUS_PORT to another port") from None
    return f"{place} is free" if environment.prometheus_port else "any free port (PROMETHEUS_PORT=0)"


def _configuration(config: Path | None, overrides: Sequence[dict[str, Any]]) -> str:
    plan = live_plan(live_configuration(ConfigFiles(config), overrides))
    return f"{len(plan.symbols)} symbols, {len(plan.strategies)} strategies"


def _credentials(config: Path | None, overrides: Sequence[dict[str, Any]]) -> str:
    settings = live_configuration(ConfigFiles(config), overrides).settings
    if settings.feed.market_data == "mainnet":
        return "none needed for public market data"
    missing = [name for name in credential_names(settings.exchange, settings.environment) if secret(name) is None]
    if missing:
        raise StateError(f"missing: {', '.join(missing)}")
    return "all set"


def _journal(out: Path) -> str:
    root = sessions_root(out)
    name = current_session(root)
    if name is None:
        return "no session yet"
    with Journal(root / name, read_only=True) as journal:
        broken = journal.first_break()
        if broken is not None:
            raise StateError(f"session {name}: input {broken} breaks the hash chain")
        state = "running" if is_locked(root / name) else "stopped"
        return f"session {name}: {journal.seq} inputs, {state}"


EARLY_MS, LATE_MS = 1_000, 5_000
"""How far our clock may be ahead of Binance's, and behind it, for signed requests (`recvWindow`). Source: Binance Spot
API, "Timing security".
"""


def check_venue(config: Path | None, overrides: Sequence[Tree] = ()) -> tuple[str, bool, str]:
    """Check that the venue answers, and that our clock is within its time window."""

    async def ask() -> tuple[str, bool, str]:
        configuration = live_configuration(ConfigFiles(config), overrides)
        source = make_source(configuration)
        try:
            await source.open()
            skew_ms = await source.time_ms() - SystemClock.now_ns() / MS
        finally:
            await source.close()
        feed = configuration.settings.feed
        if feed.clock == "venue":
            return "venue", True, f"{feed.market_data} answers; its clock is used (feed.clock)"
        skew = f"{feed.market_data} answers; its clock minus ours is {skew_ms:+,.0f} ms"
        if -EARLY_MS <= skew_ms <= LATE_MS:
            return "venue", True, skew
        window = f"ours may be at most {EARLY_MS:,} ms ahead or {LATE_MS:,} ms behind"
        return "venue", False, f"{skew}, but {window}: set this machine's clock"

    try:
        return asyncio.run(ask())
    except (PaperbotError, SourceError) as error:
        return "venue", False, str(error)
