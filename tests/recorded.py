"""Recorded markets, read as the product reads them, for tests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from paperbot.config import parse_assignment
from paperbot.core import types as t
from paperbot.engine.machine import Machine
from paperbot.engine.merge import merge
from paperbot.engine.outputs import Digest
from paperbot.engine.params import Plan
from paperbot.research.job import ReplayRequest, prepare

CONFIG = Path(__file__).resolve().parent.parent / "config" / "config.yaml"

FIVE_BITTREX = {f"{base}/BTC": f"bittrex_{base}BTC_5m_201801.parquet" for base in ("ADA", "ETC", "ETH", "LTC", "XLM")}


@dataclass
class Run:
    """What came of a run: its plan, events, machine, output records and digest."""

    plan: Plan
    events: np.ndarray
    machine: Machine
    outputs: np.ndarray
    digest: str

    def count(self, kind: t.OutputKind) -> int:
        return int(np.count_nonzero(self.outputs["kind"] == kind))


def read(texts: Iterable[str], settings: Iterable[str] = ()) -> tuple[Plan, np.ndarray]:
    """The plan and all events of SYMBOL=FILE texts."""
    request = ReplayRequest(list(texts), CONFIG, overrides=[parse_assignment(text) for text in settings])
    job = prepare(request, lambda _: None)
    batches = list(merge(job.batches, job.plan.timeframes_ns))
    return job.plan, np.concatenate(batches)


def run_events(plan: Plan, events: np.ndarray, cuts: Iterable[int] = (), spare_rows: int = 1 << 14) -> Run:
    """Run the events in calls that end at the cuts."""
    machine = Machine(plan.params, spare_rows)
    digest = Digest(plan)
    outputs = [np.zeros(0, dtype=t.OUT_HEAD)]
    edges = [0, *sorted(set(cuts)), len(events)]
    for start, stop in pairwise(edges):
        for records in machine.advance(events[start:stop]):
            digest.add(records)
            outputs.append(records)
    assert machine.market["fault"] == t.Fault.NONE
    return Run(plan, events, machine, np.concatenate(outputs), digest.final(machine.state))


def run_files(folder: Path, files: Mapping[str, str], settings: Iterable[str] = ()) -> Run:
    """Run recorded files as they are."""
    plan, events = read([f"{symbol}={folder / name}" for symbol, name in files.items()], settings)
    return run_events(plan, events)


def run_synthetic(symbols: Iterable[str], seed: int, bars: int, settings: Iterable[str] = ()) -> Run:
    """Run made-up markets."""
    plan, events = read([f"{symbol}=synthetic:{seed}:{bars}" for symbol in symbols], settings)
    return run_events(plan, events)


def recorded_files(folder: Path, *, kinds: bool) -> list[str]:
    """The Parquet files of bars, or (`kinds`) those of other kinds."""
    names = sorted(path.name for path in folder.glob("*.parquet"))
    others = ("trades", "quotes", "actions")
    return [name for name in names if any(word in name for word in others) == kinds]


def symbol_of(name: str) -> str:
    """BASE/QUOTE of a recorded file's name; shares and perpetuals count USD."""
    market = name.split("_")[1]
    quote = next((quote for quote in ("USDT", "BUSD", "USD", "BTC", "ETH") if market.endswith(quote)), "")
    return f"{market.removesuffix(quote)}/{quote}" if quote else f"{market}/USD"
