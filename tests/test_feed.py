"""The live order, by hand: what is final, what is absent, what is refused; and the theorem that live equals replay."""

import asyncio
import contextlib

import numpy as np
import pytest

import effort
from arrivals import GRACE_MS, STEP_MS, Hand, bars_of, failure, kline, opens, shuffled, slices_of
from effort import amount
from paperbot.clock import SystemClock
from paperbot.live.beside import cancel_all
from paperbot.live.session import create_session
from paperbot.live.verify import rerun
from recorded import FIVE_BITTREX, read, run_events
from shell import PATIENCE_S

BTC, ETH = "BTC/USDT", "ETH/USDT"
T0 = 1_700_000_100_000 // STEP_MS * STEP_MS
BAR = (10.0, 12.0, 9.0, 11.0, 5.0)


def at(k):
    return T0 + k * STEP_MS


def hand(count=10, now=0, symbols=(BTC,)):
    """Bars 0 to count - 1 for each symbol; the server stands `now` ms into bar 0."""
    feed = Hand({symbol: {at(k): BAR for k in range(count)} for symbol in symbols}, T0 + now)
    feed.feed.begin(T0)
    return feed


def later(feed, ms):
    """The server's time moves to so many ms after the start, and the feed hears of it."""
    feed.source.now_ms = T0 + ms
    feed.feed.server.hear(T0 + ms)


# ---- final --------------------------------------------------------------------------------------------------------
def test_a_bar_is_final_when_the_stream_says_so():
    feed = hand()
    assert feed.say(BTC, at(0), final=False) == []
    assert opens(feed.say(BTC, at(0))) == [(at(0), "stream", True)]
    assert feed.refusals == []


def test_a_newer_bar_is_no_proof_that_the_old_one_is_final():
    feed = hand()
    feed.say(BTC, at(0), final=False)
    assert feed.say(BTC, at(1), final=False, at_ms=at(1) + 500) == []
    assert feed.arrivals == []


def test_a_bar_whose_last_update_was_lost_comes_by_rest_after_the_grace():
    async def story():
        feed = hand()
        later(feed, STEP_MS + GRACE_MS - 1)
        assert await feed.prove() == []
        assert feed.source.asked == []
        later(feed, STEP_MS + GRACE_MS)
        assert opens(await feed.prove()) == [(at(0), "backfill", True)]

    asyncio.run(story())


def test_the_unfinished_bar_of_a_rest_answer_is_not_taken():
    async def story():
        feed = hand()
        later(feed, 3 * STEP_MS + STEP_MS // 2)
        assert [one[0] for one in opens(await feed.prove())] == [at(0), at(1), at(2)]

    asyncio.run(story())


# ---- absent -------------------------------------------------------------------------------------------------------
def test_a_bar_is_absent_when_a_later_rest_answer_has_no_row():
    async def story():
        feed = hand()
        del feed.source.bars[BTC][at(1)]
        later(feed, 2 * STEP_MS + GRACE_MS)
        assert opens(await feed.prove()) == [(at(0), "backfill", True), (at(1), "backfill", False)]

    asyncio.run(story())


def test_no_row_before_the_grace_is_over_proves_nothing():
    async def story():
        feed = hand()
        feed.source.bars[BTC].pop(at(0))
        (lane,) = feed.feed._lanes.values()
        feed.source.now_ms = T0 + STEP_MS + GRACE_MS - 1
        await feed.feed._ask(lane)
        assert feed.collect() == []
        feed.source.now_ms += 1
        await feed.feed._ask(lane)
        assert opens(feed.collect()) == [(at(0), "backfill", False)]

    asyncio.run(story())


def test_a_page_that_was_cut_off_proves_nothing_beyond_it():
    """A venue that sends fewer rows than asked for: what lies after its last row is asked for, not taken for absent."""

    async def story():
        feed = hand(count=50)
        whole = feed.source.candles

        async def seven(symbol, since_ms):
            return (await whole(symbol, since_ms))[:7]

        feed.source.candles = seven
        later(feed, 50 * STEP_MS + GRACE_MS)
        assert len(await feed.prove(rounds=4)) == 50
        assert {one[2] for one in opens(feed.arrivals)} == {True}

    asyncio.run(story())


def test_bars_that_closed_before_the_present_are_caught_up_on_the_last_one_included():
    async def story():
        feed = hand(count=6)
        feed.feed.present_ms = at(4)  # Bar 3 closes then.
        later(feed, 6 * STEP_MS + GRACE_MS)
        found = opens(await feed.prove())
        assert found == [(at(k), "catch_up" if k < 4 else "backfill", True) for k in range(6)]

    asyncio.run(story())


def test_a_time_that_was_told_wrongly_is_mended_by_the_next_answer():
    async def story():
        feed = hand()
        feed.say(BTC, at(0), final=False, at_ms=T0 + 365 * 86_400_000)
        assert feed.feed.age_s > 86_400
        await feed.prove()
        assert feed.feed.age_s == 0

    asyncio.run(story())


def test_a_bar_that_cannot_have_ended_yet_is_refused():
    async def story():
        feed = hand(count=200)
        feed.say(BTC, at(150), at_ms=T0 + 1000)
        await feed.prove()
        assert feed.refusals == [("unfinished", BTC)]
        assert not feed.feed._lanes[BTC].waiting

    asyncio.run(story())


def test_a_bar_beyond_a_gap_waits_until_the_gap_is_explained():
    async def story():
        feed = hand()
        assert feed.say(BTC, at(2)) == []
        later(feed, 3 * STEP_MS)
        assert opens(await feed.prove()) == [
            (at(0), "backfill", True),
            (at(1), "backfill", True),
            (at(2), "stream", True),
        ]

    asyncio.run(story())


@pytest.mark.parametrize("answer", [[None], [[None] * 6], ["<html>"], [[T0, "1", "2", "x", "1", "1"]]])
def test_an_answer_that_is_partly_nonsense_proves_nothing(answer):
    async def story():
        feed = hand()
        feed.source.answer = answer
        later(feed, 5 * STEP_MS)
        assert await feed.prove() == []
        assert feed.refusals[0] == ("malformed", BTC)

    asyncio.run(story())


@pytest.mark.parametrize("turns", range(5))
def test_a_feed_that_is_stopped_just_when_a_bar_wakes_it_ends(turns):
    async def story():
        feed = hand()
        running = asyncio.create_task(feed.feed.run())
        for _ in range(20):  # Its tasks are started, and wait.
            await asyncio.sleep(0)
        assert feed.feed.listening
        feed.say(BTC, at(1))  # Bar 0 is missing, which wakes the asking for it.
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        done, _ = await asyncio.wait({running}, timeout=PATIENCE_S)
        assert done

    asyncio.run(story())


def test_an_error_is_counted_waited_for_and_proves_nothing():
    async def story():
        feed = hand()
        later(feed, 5 * STEP_MS)
        feed.source.errors = [failure(wait_s=7.0), failure()]
        assert await feed.prove() == []
        assert feed.feed._not_before_s == feed.clock.at_s + 7.0  # What a Retry-After says.
        feed.clock.at_s += 7.0
        await feed.prove()
        assert 0.05 <= feed.feed._not_before_s - feed.clock.at_s <= 0.2  # Backoff with jitter.
        assert len(feed.failures) == 2
        feed.clock.at_s += 1.0
        assert len(await feed.prove()) >= 3

    asyncio.run(story())


def test_full_pages_are_followed_by_the_next():
    async def story():
        feed = hand(count=2500)
        later(feed, 2500 * STEP_MS + GRACE_MS)
        assert len(await feed.prove(rounds=3)) == 2500
        assert [since for _, since in feed.source.asked] == [at(0), at(1000), at(2000)]
        assert {one[2] for one in opens(feed.arrivals)} == {True}

    asyncio.run(story())


# ---- refused ------------------------------------------------------------------------------------------------------
def changed(values=(10.0, 12.0, 9.0, 11.5, 5.0), open_ms=T0, **how):
    return kline(BTC, open_ms, values, **how)


@pytest.mark.parametrize(
    ("before", "message", "code"),
    [
        ([at(0)], changed(BAR), "duplicate_bar"),
        ([at(0)], changed(), "bar_changed"),
        ([], changed(BAR, open_ms=at(-3)), "late_bar"),
        ([], changed(BAR, open_ms=T0 + 1), "off_grid"),
        ([], changed((10.0, 9.0, 12.0, 11.0, 5.0)), "contradictory"),
        ([], changed((10.0, 12.0, 9.0, 11.0, -5.0)), "contradictory"),
        ([], changed((0.0, 12.0, 0.0, 11.0, 5.0)), "contradictory"),
        ([], changed((float("nan"), 12.0, 9.0, 11.0, 5.0)), "malformed"),
        ([], {**changed(BAR), "k": None}, "malformed"),
        ([], {**changed(BAR), "symbol": "DOGE/USDT"}, "malformed"),
        ([], {**changed(BAR), "k": {**changed(BAR)["k"], "i": "1h"}}, "malformed"),
        ([], {**changed(BAR), "E": "soon"}, "malformed"),
        ([at(2)], changed((1.0, 2.0, 1.0, 1.0, 1.0), open_ms=at(2)), "bar_changed"),
    ],
)
def test_each_refusal_by_the_message_that_earns_it(before, message, code):
    feed = hand()
    for open_ms in before:
        feed.say(BTC, open_ms)
    entered = len(feed.arrivals)
    feed.feed.on_kline(message)
    feed.collect()
    assert [one[0] for one in feed.refusals] == [code]
    assert len(feed.arrivals) == entered


def test_a_bar_that_the_stream_and_rest_tell_differently_is_taken_as_the_stream_said():
    async def story():
        feed = hand()
        feed.feed.on_kline(changed((10.0, 12.0, 9.0, 11.25, 5.0), open_ms=at(1)))
        later(feed, 2 * STEP_MS + GRACE_MS)
        await feed.prove()
        assert feed.arrivals[1].event["close"][0] == 1_125_000_000

    asyncio.run(story())


def test_a_bar_that_contradicts_itself_is_asked_for_ever_more_rarely_and_told_once():
    """Until it is mended; and it counts as overdue, so that `feed.max_wait_s` halts the session."""

    async def story():
        feed = hand()
        feed.source.bars[BTC][at(0)] = (10.0, 9.0, 12.0, 11.0, 5.0)
        later(feed, STEP_MS + GRACE_MS)
        for _ in range(4 * 300):  # Five minutes, looked at four times a second; the stream says it again meanwhile.
            await feed.prove()
            feed.feed.on_kline(changed((10.0, 9.0, 12.0, 11.0, 5.0)))
            feed.clock.at_s += 0.25
            feed.source.now_ms += 250
        assert feed.refusals == [("contradictory", BTC)]
        assert 8 <= len(feed.source.asked) <= 20
        assert feed.feed.age_s == GRACE_MS / 1000 + 300
        feed.source.bars[BTC][at(0)] = BAR
        feed.clock.at_s += 30
        assert opens(await feed.prove())[0] == (at(0), "backfill", True)
        feed.source.bars[BTC][at(3)] = (10.0, 9.0, 12.0, 11.0, 5.0)
        later(feed, 5 * STEP_MS)
        await feed.prove()
        assert feed.refusals == [("contradictory", BTC)] * 2

    asyncio.run(story())


# ---- the slice waits for everybody --------------------------------------------------------------------------------
def test_a_slice_waits_for_every_symbol():
    feed = hand(symbols=(BTC, ETH))
    feed.say(BTC, at(0))
    feed.say(BTC, at(1))
    assert list(slices_of(feed.arrivals, (STEP_MS * 10**6,) * 2)) == []
    feed.say(ETH, at(0))
    (only,) = slices_of(feed.arrivals, (STEP_MS * 10**6,) * 2)
    assert only["symbol"].tolist() == [0, 1]


def test_age_grows_while_something_is_overdue():
    feed = hand(symbols=(BTC, ETH))
    later(feed, STEP_MS - 1)
    assert feed.feed.age_s == 0
    later(feed, STEP_MS + 30_000)
    feed.say(BTC, at(0), at_ms=T0 + STEP_MS)
    assert feed.feed.age_s == 30.0


# ---- the theorem --------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def five(request):
    folder = request.getfixturevalue("real_data_module")
    plan, events = read([f"{symbol}={folder / name}" for symbol, name in FIVE_BITTREX.items()])
    if not effort.is_slow:
        events = events[: np.searchsorted(events["close_ts"], events["close_ts"][0] + 3 * 86_400 * 10**9)]
    return plan, events, run_events(plan, events).digest


@pytest.mark.parametrize("seed", range(amount(20, 4)))
def test_live_in_any_order_of_arrival_has_the_digest_of_replay(five, tmp_path, seed):
    """Klines of three days (with --slow of all twenty) shuffled over eight bars, one in twenty lost, one told twice."""
    plan, events, whole = five
    bars = bars_of(events, plan.symbols, plan.price_decimals)
    random = np.random.default_rng(seed)
    first_ms = int(events["open_ts"][0]) // 10**6
    feed = Hand(bars, first_ms)
    feed.feed.begin(first_ms)
    session = create_session(tmp_path, "s", plan, SystemClock())

    async def story():
        said = shuffled(bars, random)
        for number, (symbol, open_ms) in enumerate(said):
            feed.source.now_ms = max(feed.source.now_ms, open_ms + STEP_MS)
            feed.say(symbol, open_ms)
            if number % 7 == 0:
                await feed.prove()
        feed.source.now_ms = int(events["close_ts"][-1]) // 10**6 + GRACE_MS
        feed.feed.server.hear(feed.source.now_ms)
        await feed.prove(rounds=3)

    asyncio.run(story())
    for part in slices_of(feed.arrivals, plan.timeframes_ns):
        session.commit_slice(part, ["stream"] * len(part))
    assert session.digest() == whole
    session.close()
    assert rerun(tmp_path, "s").digest == whole
    assert {code for code, _ in feed.refusals} >= {"duplicate_bar"}
    assert {code for code, _ in feed.refusals} <= {"duplicate_bar", "late_bar"}


def test_a_task_that_loses_a_cancellation_is_told_again():
    async def deaf():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    async def story():
        task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await asyncio.wait_for(cancel_all([task]), PATIENCE_S)
        assert task.cancelled()

    asyncio.run(story())
