"""The summary's sums: the same however the records are cut, and those of the round trips' own rows."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperbot.app.recorder import names_of
from paperbot.app.sources import ReplayRequest, prepare
from paperbot.config import parse_assignment
from paperbot.engine.replay import run_replay
from paperbot.store.report import Statistics
from paperbot.store.tables import RoundTripTracker
from shell import ROOT

BUSY = (
    "strategies=[{name: back, kind: mean_reversion, enter: -0.5, leave: 0.2}, {name: cross, kind: sma_cross}]",
    "risk.max_drawdown=0",
    "risk.daily_loss_cap=0",
)


class Keep:
    def __init__(self):
        self.kept = []

    def events(self, events):
        pass

    def records(self, records):
        self.kept.append(records)


@pytest.fixture(scope="module")
def run():
    """(all output records of a busy run over two symbols, names)."""
    sources = ["BTC/USDT=synthetic:3:4000", "ETH/USDT=synthetic:4:4000"]
    overrides = [parse_assignment(text) for text in BUSY]
    job = prepare(ReplayRequest(sources, ROOT / "config/config.yaml", overrides=overrides), lambda _: None)
    keep = Keep()
    run_replay(job.plan, job.batches, [keep])
    return np.concatenate(keep.kept), names_of(job.plan)


def collected(names, parts):
    statistics = Statistics(names)
    for part in parts:
        statistics.add(part)
    return statistics


def figures(statistics):
    return {
        **{name: getattr(statistics, name) for name in ("orders", "blocked", "fills", "round_trips", "wins")},
        **{name: getattr(statistics, name) for name in ("gained", "lost", "day_equity")},
        "last": statistics.last_ledger.tobytes(),
        **{by: {name: asdict(group) for name, group in statistics.groups(by).items()} for by in ("symbol", "strategy")},
    }


@given(data=st.data())
def test_sums_do_not_depend_on_how_the_records_are_cut(run, data):
    records, names = run
    edges = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=12)))
    assert figures(collected(names, np.split(records, edges))) == figures(collected(names, [records]))


def test_round_trips_are_those_of_the_tracker(run):
    records, names = run
    ours = collected(names, [records])
    rows = list(RoundTripTracker(names).rows(records))
    assert len(rows) > 50
    assert ours.round_trips == len(rows)
    assert ours.wins == sum(row["pnl_minor"] > 0 for row in rows)
    assert ours.gained == sum(max(row["pnl_account_minor"], 0) for row in rows)
    assert ours.lost == sum(max(-row["pnl_account_minor"], 0) for row in rows)
    for by in ("symbol", "strategy"):
        for name, group in ours.groups(by).items():
            mine = [row for row in rows if row[by] == name]
            assert (group.round_trips, group.wins) == (len(mine), sum(row["pnl_minor"] > 0 for row in mine))
