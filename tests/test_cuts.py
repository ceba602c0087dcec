"""However a stream is cut into calls, and whatever follows it, what came before is the same to the byte."""

import hashlib
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streams
from paperbot.app.replay import replay
from paperbot.core import types as t
from paperbot.engine.machine import Machine
from paperbot.engine.outputs import Digest, money_of
from paperbot.engine.runner import Runner
from paperbot.engine.snapshot import decode, encode, restore
from paperbot.research.job import ReplayRequest
from recorded import FIVE_BITTREX, read, run_events

CHUNKS = (1, 2, 7, 1000)


def assert_same(one, other):
    assert one.digest == other.digest
    assert np.array_equal(one.machine.state.memory, other.machine.state.memory)
    assert one.outputs.tobytes() == other.outputs.tobytes()


@pytest.fixture(scope="module")
def market():
    return read(["BTC/USDT=synthetic:5:3000", "ETH/USDT=synthetic:5:3000"])


@pytest.mark.parametrize("chunk", CHUNKS)
def test_chunks_change_nothing(market, chunk):
    plan, events = market
    assert_same(run_events(plan, events, range(chunk, len(events), chunk)), run_events(plan, events))


@settings(max_examples=25)
@given(st.lists(st.integers(1, 5999), max_size=60), st.integers(0, 3))
def test_any_cuts_change_nothing(market, cuts, spare_rows):
    """Cuts fall inside slices too; with no spare rows the output buffer is exactly at its minimum."""
    plan, events = market
    assert_same(run_events(plan, events, cuts, spare_rows), run_events(plan, events))


def canonical(content):
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


@settings(max_examples=60)
@given(st.integers(0, 200), st.lists(st.integers(0, 200), max_size=8), st.integers(0, 2**32 - 1))
def test_digest_is_the_chain_that_the_decision_describes(market, count, cuts, seed):
    """By ADR-0017: SHA-256 over the last link and 64 records, a shorter block at the end, then the money."""
    plan, _ = market
    records = np.frombuffer(np.random.default_rng(seed).bytes(160 * count), dtype=t.OUT_HEAD)
    state = Machine(plan.params).state
    digest = Digest(plan)
    for start, stop in pairwise([0, *sorted({cut for cut in cuts if cut < count}), count]):
        digest.add(records[start:stop])
    opening = {"symbols": plan.symbols, "opening": {"USDT": 10_000 * 10**8}}
    link = hashlib.sha256(canonical(opening)).digest()
    for start in range(0, count, 64):
        link = hashlib.sha256(link + records[start : start + 64].tobytes()).digest()
    assert digest.final(state) == hashlib.sha256(link + canonical(money_of(plan, state))).hexdigest()


@pytest.mark.parametrize("at", [1, 700, 2999, 5000])
def test_a_run_goes_on_from_a_snapshot_with_the_same_digest(market, at):
    """Whatever part of a block of the digest is pending at that moment."""
    plan, events = market
    first, second = Runner(plan, []), Runner(plan, [])
    first.feed(events[:at])
    saved = encode(first, {})
    first.feed(events[at:])
    restore(decode(saved, "saved"), second, "saved")
    second.feed(events[at:])
    assert second.finish() == first.finish() == run_events(plan, events).digest


@settings(max_examples=40)
@given(st.integers(1000, 100_000), st.lists(st.integers(1, 400), max_size=30))
def test_any_cuts_of_streams_with_orders_change_nothing(seed, cuts):
    random = np.random.default_rng(seed)
    params = streams.random_params(random)
    events = streams.random_events(random, params, 80)
    whole, outputs = streams.run(params, events)
    edges = [0, *sorted({cut for cut in cuts if cut < len(events)}), len(events)]
    parts = []
    machine = Machine(params, 0)
    for start, stop in pairwise(edges):
        parts += list(machine.advance(events[start:stop]))
    assert np.array_equal(machine.state.memory, whole.state.memory)
    assert b"".join(part.tobytes() for part in parts) == outputs.tobytes()


@pytest.mark.parametrize(
    "files",
    [{"BTC/BUSD": "binance_BTCBUSD_1m_20221213.parquet"}, FIVE_BITTREX],
)
def test_recorded_markets_give_the_same_files_at_every_chunk(real_data, tmp_path, files):
    texts = [f"{symbol}={real_data / name}" for symbol, name in files.items()]
    seen = set()
    for chunk in (0, *CHUNKS):
        out = tmp_path / str(chunk)
        result = replay(ReplayRequest(texts, out=out, chunk=chunk), lambda _: None)
        content = tuple(path.read_bytes() for path in sorted(out.iterdir()))
        assert len(content) == 7
        seen.add((result.summary["digest"], content))
    assert len(seen) == 1


def until(outputs: np.ndarray, ts: int) -> bytes:
    return outputs[outputs["ts"] <= ts].tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_the_future_does_not_change_the_past(market, seed):
    """Cut off, or replaced by another market, what follows a time leaves every record up to it alone."""
    plan, events = market
    random = np.random.default_rng(seed)
    at = int(random.integers(500, 5500)) // 2 * 2
    now = int(events["close_ts"][at - 1])
    past = until(run_events(plan, events).outputs, now)
    assert len(past) > 0
    assert until(run_events(plan, events[:at]).outputs, now) == past
    changed = events.copy()
    for name in ("open", "high", "low", "close"):
        changed[name][at:] = changed[name][at:] * 2
    changed["volume"][at:] *= random.random()
    assert until(run_events(plan, changed).outputs, now) == past


def test_swapped_bars_are_noticed(market):
    plan, events = market
    swapped = events.copy()
    for name in ("open", "high", "low", "close"):
        swapped[name][[100, 102]] = events[name][[102, 100]]
    assert run_events(plan, swapped).digest != run_events(plan, events).digest


@pytest.mark.parametrize(
    ("kind", "fields", "fault"),
    [
        (t.EventKind.SIGNAL, {"target": 5}, t.Fault.BAD_EVENT),
        (t.EventKind.SIGNAL, {"target": 1, "strategy": 9}, t.Fault.BAD_EVENT),
        (t.EventKind.BAR, {"symbol": 7}, t.Fault.BAD_EVENT),
        (99, {}, t.Fault.BAD_EVENT),
        (t.EventKind.SIGNAL, {"target": 1, "ts": 5}, t.Fault.TIME_WENT_BACK),
    ],
)
def test_events_that_cannot_be_stop_the_run(market, kind, fields, fault):
    plan, events = market
    machine = Machine(plan.params)
    list(machine.advance(events[:10]))
    dtype = t.BAR_EVENT if kind == t.EventKind.BAR else t.SIGNAL_EVENT
    event = np.zeros(1, dtype=dtype)
    event["kind"] = kind
    event["close_ts" if kind == t.EventKind.BAR else "ts"] = int(events["close_ts"][10])
    for name, value in fields.items():
        event[name] = value
    list(machine.advance(event.view(t.BAR_EVENT)))
    assert machine.market["fault"] == fault


def test_time_going_back_stops_the_run(market):
    plan, events = market
    machine = Machine(plan.params)
    list(machine.advance(events[[0, 1, 4, 5, 2, 3]]))
    assert machine.market["fault"] == t.Fault.TIME_WENT_BACK
