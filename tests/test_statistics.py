"""The summary's sums: the same however the records are cut, and those of the round trips' own rows."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import Desk
from paperbot.app.replay import replay
from paperbot.config import parse_assignment
from paperbot.core import types as t
from paperbot.core.fields import of_kind
from paperbot.engine.names import names_of
from paperbot.engine.replay import run_replay
from paperbot.research.job import ReplayRequest, prepare
from paperbot.store import tables
from paperbot.store.starved import Starved, starved_in_words
from paperbot.store.statistics import TRIP, RoundTrips, Statistics
from shell import ROOT

BUSY = (
    "strategies=[{name: back, kind: mean_reversion, enter: -0.5, leave: 0.2}, {name: cross, kind: sma_cross}]",
    "risk.max_drawdown=0",
    "risk.daily_loss_cap=0",
)

SUMS = ("fills", "realized", "fees", "account", "bought", "paid", "sold", "received")


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
        "starved": statistics.starved.found(),
        **{by: {name: asdict(group) for name, group in statistics.groups(by).items()} for by in ("symbol", "strategy")},
    }


@given(data=st.data())
def test_sums_do_not_depend_on_how_the_records_are_cut(run, data):
    records, names = run
    edges = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=12)))
    assert figures(collected(names, np.split(records, edges))) == figures(collected(names, [records]))


def test_sums_are_the_same_record_by_record(run):
    records, names = run
    records = records[: np.flatnonzero(records["kind"] == t.OutputKind.BLOCKED)[-1] + 1]
    assert collected(names, np.split(records, len(records))).starved.found() == collected(
        names, [records]
    ).starved.found()


def followed(records, names):
    """Each completed round trip, followed fill by fill."""
    open_, done = {}, []
    for fill in of_kind(records, t.OutputKind.FILL, t.OUT_FILL):
        key = int(fill["strategy"]), int(fill["symbol"])
        trip = open_.setdefault(key, dict.fromkeys(SUMS, 0) | {"entry_ts": int(fill["ts"])})
        is_buy = fill["side"] == t.Side.BUY
        trip["fills"] += 1
        trip["bought" if is_buy else "sold"] += int(fill["quantity"])
        trip["paid" if is_buy else "received"] += int(fill["notional"])
        trip["realized"] += int(fill["realized"])
        trip["fees"] += int(fill["fee_quote"])
        trip["account"] += int(fill["realized_account"]) - int(fill["fee_account"])
        if not is_buy and fill["position"] < names.steps[key[1]]:
            done.append({**open_.pop(key), "exit_ts": int(fill["ts"]), "role": int(fill["role"])})
            done[-1].update(strategy=key[0], symbol=key[1])
    return done


@given(data=st.data())
def test_round_trips_are_those_of_a_plain_loop_however_the_fills_are_cut(run, data):
    records, names = run
    edges = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=12)))
    trips = RoundTrips(names)
    parts = [trips.add(of_kind(part, t.OutputKind.FILL, t.OUT_FILL)) for part in np.split(records, edges)]
    expected = followed(records, names)
    assert len(expected) > 50
    assert [dict(zip(TRIP.names, row, strict=True)) for part in parts for row in part.tolist()] == [
        {name: trip[name] for name in TRIP.names} for trip in expected
    ]


def test_sums_of_round_trips_are_those_of_their_rows(run):
    records, names = run
    ours = collected(names, [records])
    rows = followed(records, names)
    won = [row["realized"] > row["fees"] for row in rows]
    assert ours.round_trips == len(rows)
    assert ours.wins == sum(won)
    assert ours.gained == sum(max(row["account"], 0) for row in rows)
    assert ours.lost == sum(max(-row["account"], 0) for row in rows)
    for by, known in (("symbol", names.symbols), ("strategy", names.strategies)):
        for name, group in ours.groups(by).items():
            mine = [is_won for row, is_won in zip(rows, won, strict=True) if known[row[by]] == name]
            assert (group.round_trips, group.wins) == (len(mine), sum(mine))


def test_tables_are_made_by_the_block_also_where_every_slice_is_a_call(tmp_path, monkeypatch):
    calls = []
    whole = tables.trades_table
    monkeypatch.setattr(tables, "trades_table", lambda *arguments: calls.append(1) or whole(*arguments))
    strategy = f"strategies=[{{name: weekday, path: {ROOT / 'examples/weekday.py'}}}]"
    overrides = [parse_assignment(text) for text in (strategy, *BUSY[1:])]
    request = ReplayRequest(["BTC/USDT=synthetic:3:9000"], None, out=tmp_path, overrides=overrides)
    outcome = replay(request, lambda _: None)
    assert outcome.summary["fills"] > 100
    assert len(calls) == 1


# ---- caps that strategies share -----------------------------------------------------------------------------------
TWO = {"strategies": [{"name": name, "kind": "external"} for name in ("quick", "slow")]}
LONG, FLAT = t.Target.LONG, t.Target.FLAT


def starved(desk):
    found = Starved(names_of(desk.plan))
    found.add(np.array(desk.records))
    return found.found()


@pytest.mark.parametrize(
    ("cap", "code"),
    [
        ({"max_position_value_per_symbol": 0.1}, "max_position_value"),
        ({"max_gross_exposure": 0.15}, "gross_exposure"),
        ({"max_open_positions": 1}, "max_open_positions"),
        ({"fixed_quote": 6000}, "funds"),
    ],
)
def test_a_strategy_is_starved_by_a_cap_that_another_fills(cap, code):
    desk = Desk(TWO, {"risk": cap}).bar(100)
    desk.signal(LONG, strategy="quick").bar(100)
    desk.signal(LONG, strategy="slow").bar(100)
    assert desk.blocked() == [code]
    kept = {"entries": 1, "blocked": 1, "by": {code: 1}, "holders": ["quick"]}
    assert starved(desk) == {"slow": kept}
    assert starved_in_words({"slow": kept}) == [
        f"strategy slow: 1 of 1 entries were blocked by {code}, which all strategies share, while quick held positions"
    ]
    desk.signal(FLAT, strategy="quick").bar(100).signal(FLAT, strategy="slow").signal(LONG, strategy="slow").bar(100)
    assert starved(desk) == {"slow": {**kept, "entries": 2}}


def test_a_strategy_that_is_alone_in_a_market_starves_nobody():
    """A cap on one symbol counts that symbol; funds count one quote; a cap alone is no starving."""
    pair = ("BTC/USD", "ETH/USD")
    desk = Desk(TWO, {"risk": {"max_position_value_per_symbol": 0.01, "fixed_quote": 100}}, symbols=pair)
    desk.bar(100, last=False).bar(100, symbol="ETH/USD").signal(LONG, strategy="quick")
    desk.bar(100, last=False).bar(100, symbol="ETH/USD")
    desk.buy(2, strategy="slow", symbol="ETH/USD").buy(9, strategy="quick")
    assert desk.blocked() == ["max_position_value"] * 2
    assert starved(desk) == {}
    desk.buy(1, strategy="slow")
    assert starved(desk)["slow"]["holders"] == ["quick"]
    desk.signal(FLAT, strategy="quick").bar(100, last=False).bar(100, symbol="ETH/USD")
    desk.buy(9, strategy="slow")
    assert starved(desk)["slow"]["blocked"] == 1


def test_who_was_starved_is_what_a_walk_record_by_record_finds(run):
    records, names = run
    holds, expected = set(), {}
    for record in records:
        one = np.array([record])
        if record["kind"] == t.OutputKind.FILL:
            fill = one.view(t.OUT_FILL)[0]
            key = int(fill["strategy"]), int(fill["symbol"])
            (holds.add if fill["position"] >= names.steps[key[1]] else holds.discard)(key)
        if record["kind"] == t.OutputKind.BLOCKED:
            order = one.view(t.OUT_ORDER)[0]
            code, who = t.Code(int(order["code"])), int(order["strategy"])
            if order["role"] != t.Role.ENTRY or code not in (t.Code.MAX_POSITION_VALUE, t.Code.GROSS_EXPOSURE):
                continue
            counted = {k for k in holds if code != t.Code.MAX_POSITION_VALUE or k[1] == int(order["symbol"])}
            for rival in {strategy for strategy, _ in counted} - {who}:
                expected[who, rival] = expected.get((who, rival), 0) + 1
    found = collected(names, [records]).starved.found()
    assert expected
    assert {(names.strategies[a], names.strategies[b]): count for (a, b), count in expected.items()} == {
        (who, kept["holders"][0]): kept["blocked"] for who, kept in found.items()
    }
