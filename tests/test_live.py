"""Live sessions against the venue: the theorem, kills, catching up, commands, and what may not change."""

import base64
import json
import re
import shutil
import signal
import socket
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from effort import amount
from livelab import BUSD_DAY, START_MS, Bot, SteeredVenue, VenueProcess, kill
from paperbot.core import types as t
from recorded import FIVE_BITTREX
from shell import PATIENCE_S, ROOT, call, finish, read_until, run, scrape, start, url_of


def write_bars(path, bars, start_ms=START_MS, step_ms=60_000, missing=(), seed=1):
    """A made-up market as a file that both venue and replay read."""
    random = np.random.default_rng(seed)
    close = np.round(1000 * np.exp(np.cumsum(random.normal(0, 0.002, bars))), 2)
    opening = np.round(np.concatenate(([1000.0], close[:-1])), 2)
    high = np.round(np.maximum(opening, close) * 1.0007, 2)
    low = np.round(np.minimum(opening, close) * 0.9993, 2)
    volume = np.round(random.exponential(40, bars), 3)
    keep = [k for k in range(bars) if k not in missing]
    columns = {"ts": start_ms + step_ms * np.arange(bars), "open": opening, "high": high, "low": low, "close": close}
    table = pa.table({**columns, "volume": volume}).take(keep)
    pq.write_table(table, path)
    return path


def until(path, bars=None):
    """The closing time of the last bar (or the given number of bars), as `--until` takes it."""
    ts = pq.read_table(path)["ts"].to_numpy()
    last = int(ts[-1] if bars is None else ts[0] + 60_000 * (bars - 1)) + 60_000
    return str(np.datetime64(last, "ms"))


def two_markets(folder, bars):
    """(files, sources): two symbols, one of which lacks ten bars."""
    files = {
        "BTC/USDT": write_bars(folder / "btc.parquet", bars, missing=range(100, 110)),
        "ETH/USDT": write_bars(folder / "eth.parquet", bars, seed=2),
    }
    return files, [f"{symbol}={path}" for symbol, path in files.items()]


@pytest.fixture
def market(tmp_path):
    """(folder, files, sources): two symbols of 400 minutes."""
    return tmp_path, *two_markets(tmp_path, 400)


# ---- the theorem --------------------------------------------------------------------------------------------------
def test_a_recorded_day_live_has_the_digest_of_replay(real_data, tmp_path):
    source = f"BTC/BUSD={real_data / BUSD_DAY}"
    with VenueProcess(tmp_path, source) as venue:
        bot = Bot(tmp_path, {**venue.settings(), "symbols": "[BTC/BUSD]"})
        bot.run("--until", "2022-12-14T00:00:00")
    digest = bot.ask("verify")["digest"]
    assert digest == bot.replay(source)
    assert digest == bot.ask("replay", "--session", bot.ask("status")["session"], "--out", "again")["digest"]
    for name in ("trades", "orders", "round_trips", "ledger", "blocked"):
        live = pq.read_table(tmp_path / f"data/{name}.parquet")
        replayed = pq.read_table(tmp_path / f"replayed/{name}.parquet")
        keep = [column for column in live.column_names if column != "source"]
        assert live.select(keep).equals(replayed.select(keep)), name


@pytest.mark.slow
def test_five_symbols_live_have_the_digest_of_replay(real_data, tmp_path):
    sources = [f"{symbol}={real_data / name}" for symbol, name in FIVE_BITTREX.items()]
    with VenueProcess(tmp_path, *sources) as venue:
        bot = Bot(tmp_path, {**venue.settings(), "symbols": f"[{', '.join(FIVE_BITTREX)}]", "timeframe": "5m"})
        bot.run("--until", "2018-01-30T04:55:00")
    assert bot.ask("verify")["digest"] == bot.replay(*sources)


def test_exported_bars_replay_to_the_sessions_digest(market):
    """Those that warmed it up too: --start is where the session began."""
    folder, files, sources = market
    with VenueProcess(folder, *sources) as venue:
        bot = Bot(folder, venue.settings())
        bot.run("--until", until(files["ETH/USDT"]))
    told = bot.ask("export", "exported")
    assert told["bars"] == 790
    exported = [f"{symbol}=exported/bars/{symbol.replace('/', '')}_1m.parquet" for symbol in files]
    assert bot.ask("verify")["digest"] == bot.replay(*exported) == bot.replay(*sources)
    for place in ("data", "exported"):
        summary = json.loads((folder / place / "run.json").read_text())
        assert summary["session"] == told["session"]
        assert summary["digest"] == bot.ask("verify")["digest"]
        candles = pq.read_table(folder / place / "candles.parquet")
        assert candles.num_rows == 790
        assert candles["close"].to_pylist() == pq.read_table(folder / "replayed/candles.parquet")["close"].to_pylist()


# ---- lines, signals, stopping -------------------------------------------------------------------------------------
def test_online_logs_the_same_lines_and_every_bar(market):
    folder, files, sources = market
    with VenueProcess(folder, *sources) as venue:
        bot = Bot(folder, venue.settings())
        log = bot.run("--until", until(files["ETH/USDT"]), LOG_LEVEL="INFO")
    assert len(re.findall(r"^candle: \{.*\}$", log, re.MULTILINE)) == 790
    fills = pq.read_table(folder / "data/trades.parquet").num_rows
    assert len(re.findall(r"^fill: \{.*\}$", log, re.MULTILINE)) == fills > 0
    assert re.search(r"^strategy signal: \{.*\}$", log, re.MULTILINE)
    assert bot.ask("verify")["digest"] == bot.replay(*sources)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_slice_saves_and_ends_in_order(market, number):
    folder, files, sources = market
    with SteeredVenue(folder, *sources) as venue:
        bot = Bot(folder, venue.settings())
        process = bot.start()
        venue.play(300)
        bot.wait_for_inputs(100, process)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
        assert (folder / "data/trades.parquet").exists()
        venue.play(400)
        bot.run("--until", until(files["ETH/USDT"]))
    assert bot.ask("verify")["digest"] == bot.replay(*sources)


def test_the_online_section_works_with_only_base_urls_in_the_configuration(market):
    """`python -m paperbot.main` with OFFLINE_DEMO=0 and the testnet's keys, as the runbook has it."""
    folder, _, sources = market
    shutil.copytree(ROOT / "config", folder / "config")
    with VenueProcess(folder, *sources) as venue:
        # A recording that is played as fast as it is read makes minutes of a moment's delay: no limit on a feed's age.
        urls = {"rest_url": venue.url, "ws_url": venue.ws_url, "max_wait_s": 0}
        config = folder / "config/config.yaml"
        config.write_text(config.read_text() + f"\nfeed: {json.dumps(urls)}\n")
        keys = {"BINANCE_SPOT_TESTNET_API_KEY": "x" * 64, "BINANCE_SPOT_TESTNET_API_SECRET": "y" * 64}
        online = {"OFFLINE_DEMO": "0", "HOLD_METRICS_SECONDS": "1", "PROMETHEUS_PORT": "0", **keys}
        process = start([], folder, **online)
        out = read_until(process, r"^order submitted: \{.*\}$")
        process.send_signal(signal.SIGTERM)
        code, _, err = finish(process)
        assert code == 0, err
        assert re.search(r"^candle: \{.*\}$", out, re.MULTILINE)
        assert (folder / "data/trades.parquet").exists()
        assert (folder / "data/ledger.parquet").exists()
        first = re.search(r"session_started\s+session=(\S+)", out)[1]
        code, out, err = run(["run", "--new", "--session", "second", "--for", "1s"], folder, **online)
        assert code == 0, err
        assert re.search(rf"session_started .*left_behind={first}", out)
    assert (folder / "data/sessions" / first / "journal.sqlite").exists()


def test_for_ends_a_session_and_the_port_is_held_after_it(market):
    folder, _, sources = market
    with VenueProcess(folder, *sources) as venue:
        bot = Bot(folder, venue.settings())
        log = bot.run("--for", "1s", "--hold", "1", LOG_LEVEL="INFO")
    assert "session_stopped" in log


# ---- nothing lost -------------------------------------------------------------------------------------------------
FAIL_POINTS = [
    "journal.before_commit:150",
    pytest.param("journal.after_commit:151", marks=pytest.mark.long),
    pytest.param("durable.before_rename:3", marks=pytest.mark.long),
    "durable.after_rename:3",
    "parquet.before_rename:2",
]


@pytest.mark.parametrize("point", FAIL_POINTS)
def test_a_death_at_a_named_place_loses_nothing(market, point):
    folder, files, sources = market
    settings = {"run.snapshot_every": "40", "run.artifacts_every_s": "0.3"}
    with SteeredVenue(folder, *sources) as venue:
        bot = Bot(folder, {**venue.settings(), **settings})
        process = bot.start("--until", until(files["ETH/USDT"]), PAPERBOT_FAIL_POINT=point)
        venue.play(200)
        assert process.wait(PATIENCE_S) == -signal.SIGKILL, bot.log()[-2000:]
        venue.play(400)  # The market is never over before the session has begun, however early it died.
        bot.run("--until", until(files["ETH/USDT"]))
    assert bot.ask("verify")["digest"] == bot.replay(*sources)
    trades = pq.read_table(folder / "data/trades.parquet").to_pylist()
    replayed = pq.read_table(folder / "replayed/trades.parquet").to_pylist()
    assert [{**one, "source": ""} for one in trades] == [{**one, "source": ""} for one in replayed]


def test_kill_9_at_any_moment_loses_nothing(market):
    """A short version of `make crash-sweep`."""
    folder, files, sources = market
    random = np.random.default_rng(3)
    with VenueProcess(folder, *sources) as venue:
        bot = Bot(folder, {**venue.settings(), "run.snapshot_every": "37"})
        for _ in range(amount(10, 4)):
            process = bot.start("--until", until(files["ETH/USDT"]))
            bot.wait_for_inputs(min(bot.inputs() + 1 + int(random.integers(50)), 780), process)
            kill(process)
        bot.run("--until", until(files["ETH/USDT"]))
    assert bot.ask("verify")["digest"] == bot.replay(*sources)
    sources_seen = set(pq.read_table(folder / "data/trades.parquet")["source"].to_pylist())
    assert sources_seen <= {"stream", "backfill", "catch_up"}


def test_a_tripped_kill_switch_is_still_tripped_after_kill_9(market):
    folder, _, sources = market
    with SteeredVenue(folder, *sources) as venue:
        bot = Bot(folder, venue.settings())
        process = bot.start()
        venue.play(60)
        bot.wait_for_inputs(80, process)
        assert bot.ask("halt")["halted"] == "manual"
        kill(process)
        before = bot.inputs()
        process = bot.start()
        venue.play(80)
        bot.wait_for_inputs(before + 20, process)
        assert bot.ask("status")["halted"] == "manual"
        assert bot.ask("resume")["halted"] == "none"
        kill(process)
        assert bot.ask("status")["halted"] == "none"


def test_a_second_process_is_refused(market):
    folder, _, sources = market
    with SteeredVenue(folder, *sources) as venue:
        bot = Bot(folder, venue.settings())
        process = bot.start()
        venue.play(2)
        bot.wait_for_inputs(2, process)
        log = bot.run(expect=2)
        assert "another process runs this session" in " ".join(log.split())
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


# ---- catching up --------------------------------------------------------------------------------------------------
def test_manage_only_makes_no_entries_in_slices_that_were_missed(market):
    folder, files, sources = market
    with SteeredVenue(folder, *sources) as venue:
        bot = Bot(folder, {**venue.settings(), "feed.catch_up": "manage_only"})
        process = bot.start()
        venue.play(70)
        bot.wait_for_inputs(130, process)
        kill(process)
        venue.skip(220)
        venue.play(400)
        bot.run("--until", until(files["ETH/USDT"]))
    status = bot.ask("status")
    assert bot.ask("verify")
    outputs = np.fromfile(folder / "data/sessions" / status["session"] / "outputs.bin", dtype=t.OUT_HEAD)
    blocked = outputs[(outputs["kind"] == t.OutputKind.BLOCKED) & (outputs["code"] == t.Code.CATCHING_UP)]
    signals = outputs[outputs["kind"] == t.OutputKind.SIGNAL]
    assert len(blocked) > 0 or len(signals) == 0


def test_down_for_too_long_halts_and_goes_on_at_the_present(market):
    folder, files, sources = market
    with SteeredVenue(folder, *sources) as venue:
        bot = Bot(folder, {**venue.settings(), "feed.catch_up_max": "30m"})
        process = bot.start()
        venue.play(50)
        bot.wait_for_inputs(100, process)
        kill(process)
        venue.skip(150)
        venue.play(400)
        log = bot.run("--until", until(files["ETH/USDT"]), LOG_LEVEL="INFO")
    assert "down_too_long" in log
    assert bot.ask("status")["halted"] == "feed"
    assert bot.ask("verify")


def test_realized_profit_is_the_sessions_after_a_restart(market):
    folder, files, sources = market
    with VenueProcess(folder, *sources) as venue:
        bot = Bot(folder, {**venue.settings(), "account.currency": "USDT", "oracle.overrides.USDT": "1"})
        bot.run("--until", until(files["ETH/USDT"], 250))
        before = sum(pq.read_table(folder / "data/trades.parquet")["realized_pnl"].to_pylist())
        process = bot.start("--until", until(files["ETH/USDT"]), LOG_LEVEL="INFO", HOLD_METRICS_SECONDS="900")
        log = bot.wait_for_log("session_stopped", process)
        text = scrape(url_of(log[log.rindex("metrics_served") :]))
        process.terminate()
        process.wait(PATIENCE_S)
    realized = sum(pq.read_table(folder / "data/trades.parquet")["realized_pnl"].to_pylist())
    assert before != 0
    assert realized != before
    shown = re.findall(r"^realized_pnl_total{.*} (\S+)$", text, re.MULTILINE)
    assert sum(map(float, shown)) == pytest.approx(realized)
    assert "paperbot_feed_connected " not in text  # Nothing is listened to in the hold.


# ---- parameters ---------------------------------------------------------------------------------------------------
def test_edited_parameters_are_an_input_and_replay_too(market):
    folder, files, sources = market
    with VenueProcess(folder, *sources) as venue:
        bot = Bot(folder, venue.settings())
        bot.run("--until", until(files["ETH/USDT"], 150))
        bot.settings["risk.max_position_value_per_symbol"] = "0.05"
        bot.run("--until", until(files["ETH/USDT"]))
    name = bot.ask("status")["session"]
    assert bot.ask("verify")["digest"] == bot.ask("replay", "--session", name, "--out", "again")["digest"]
    assert bot.ask("verify")["digest"] != bot.replay(*sources)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("symbols", "[BTC/USDT]", "symbols cannot change inside a session"),
        *(
            pytest.param(key, value, f"{what} cannot change inside a session", marks=pytest.mark.long)
            for key, value, what in (
                ("account.currency", "USDT", "account.currency"),
                ("features.rsi", "21", "features (kinds and windows)"),
                ("capacities.open_orders", "99", "capacities.open_orders"),
            )
        ),
    ],
)
def test_what_may_not_change_is_one_sentence(market, key, value, words):
    folder, files, sources = market
    with VenueProcess(folder, *sources) as venue:
        bot = Bot(folder, venue.settings())
        bot.run("--until", until(files["ETH/USDT"], 20))
        before = bot.inputs()
        bot.settings[key] = value
        log = bot.run(expect=2)
        assert words in " ".join(log.split())
        assert "start a new session with paperbot run --new" in " ".join(log.split())
        assert bot.inputs() == before
        # A name that nobody has is a slip of the pen, not an account of its own.
        log = bot.run("--session", "secnd", expect=2)
        assert "the session does not exist (existing: " in " ".join(log.split())
        assert "create it with --new" in " ".join(log.split())
        assert len(bot.ask("sessions")) == 1
        bot.run("--new", "--session", "second", "--until", until(files["ETH/USDT"]))
    sessions = {one["session"]: one["current"] for one in bot.ask("sessions")}
    assert len(sessions) == 2
    assert sessions["second"]


# ---- a session of another core ------------------------------------------------------------------------------------
def test_another_core_carries_the_session_on(market):
    folder, files, sources = market
    with VenueProcess(folder, *sources) as venue:
        bot = Bot(folder, {**venue.settings(), "run.snapshot_every": "30"})
        bot.run("--until", until(files["ETH/USDT"], 200))
        before = bot.ask("status")
        with sqlite3.connect(folder / "data/sessions" / before["session"] / "journal.sqlite") as db:
            db.execute("UPDATE meta SET value = 'another' WHERE key = 'core'")
        bot.run("--until", until(files["ETH/USDT"], 201))
        after = bot.ask("status")
        assert after["session"] == f"{before['session']}-carried"
        assert after["positions"] == before["positions"] or after["last_slice"] > before["last_slice"]
        bot.run("--until", until(files["ETH/USDT"]))
    assert bot.ask("verify")
    assert {one["closed_by"] for one in bot.ask("sessions")} == {after["session"], None}


# ---- secrets ------------------------------------------------------------------------------------------------------
def test_no_secret_is_in_anything_that_a_session_leaves(market):
    folder, files, sources = market
    canary = "canary-4711-secret-value"
    with VenueProcess(folder, *sources) as venue:
        settings = {**venue.settings(), "feed.market_data": "testnet"}
        bot = Bot(folder, settings)
        keys = {"BINANCE_SPOT_TESTNET_API_KEY": canary, "BINANCE_SPOT_TESTNET_API_SECRET": canary}
        process = bot.start("--until", until(files["ETH/USDT"]), "--hold", "900", LOG_LEVEL="DEBUG", **keys)
        bot.wait_for_inputs(700, process)
        text = scrape(url_of((folder / "run.log").read_text()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert "paperbot_feed_age_seconds" in text
    assert "paperbot_journal_lag_seconds_bucket" in text
    assert canary not in text
    seen = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "journal.sqlite" for path in seen)
    for path in seen:
        assert canary.encode() not in path.read_bytes(), path


# ---- filters, days, messages, advice ------------------------------------------------------------------------------
def test_the_venues_filters_are_compared_and_taken_if_wanted(market):
    folder, files, sources = market
    with VenueProcess(folder, *sources) as venue:
        bot = Bot(folder, {**venue.settings(), "execution.symbols": '{"BTC/USDT": {tick_size: 0.5}}'})
        log = bot.run("--until", until(files["ETH/USDT"], 60))
        assert "BTC/USDT: tick_size is 0.5 (command line [BTC/USDT]), but 0.01 at the venue" in log
        del bot.settings["execution.symbols"]
        bot.run("--new", "--session", "venue", "--until", until(files["ETH/USDT"]))
    with sqlite3.connect(folder / "data/sessions/venue/journal.sqlite") as db:
        params = json.loads(db.execute("SELECT bytes FROM inputs WHERE seq = 1").fetchone()[0][6:])
    symbols = np.frombuffer(base64.b64decode(params["arrays"]["symbols"]), dtype=t.SYMBOL_PARAMS)
    assert symbols["tick"].tolist() == [1_000_000, 1_000_000]  # 0.01 at eight decimals, journaled.
    assert symbols["step"].tolist() == [1_000, 1_000]


@pytest.mark.long
def test_closed_days_are_parts_and_the_whole_is_their_sum(tmp_path):
    path = write_bars(tmp_path / "btc.parquet", 3000)
    with VenueProcess(tmp_path, f"BTC/USDT={path}") as venue:
        bot = Bot(tmp_path, {**venue.settings(), "symbols": "[BTC/USDT]", "run.artifacts_every_s": "0.5"})
        bot.run("--until", until(path, 2000))
        bot.run("--until", until(path))
    digest = bot.replay(f"BTC/USDT={path}")
    assert bot.ask("verify")["digest"] == digest
    days = sorted((tmp_path / "data/sessions").glob("*/days/*.ledger.parquet"))
    assert [path.name[:10] for path in days] == ["2023-11-15", "2023-11-16"]
    for name in ("trades", "ledger", "orders", "round_trips", "blocked"):
        live = pq.read_table(tmp_path / f"data/{name}.parquet")
        keep = [column for column in live.column_names if column != "source"]
        assert live.select(keep).equals(pq.read_table(tmp_path / f"replayed/{name}.parquet").select(keep)), name


class Inbox(BaseHTTPRequestHandler):
    """Takes apprise's JSON messages."""

    bodies: list[str] = []  # noqa: RUF012

    def do_POST(self):
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def inbox():
    Inbox.bodies.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Inbox)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_messages_are_sent_within_their_limit_and_hold_no_secret(market, inbox):
    folder, files, sources = market
    canary = "canary-4711-secret-value"
    with VenueProcess(folder, *sources) as venue:
        notify = {"notify.on": "[fill, halt, recovery]", "notify.max_per_minute": "3"}
        bot = Bot(folder, {**venue.settings(), **notify})
        urls = {"PAPERBOT_NOTIFY_URLS": f"json://user:{canary}@127.0.0.1:{inbox}/", "OPENAI_API_KEY": canary}
        bot.run("--until", until(files["ETH/USDT"]), LOG_LEVEL="DEBUG", **urls)
    messages = [json.loads(body)["message"] for body in Inbox.bodies]
    fills = pq.read_table(folder / "data/trades.parquet").num_rows
    assert fills > 3 >= len(messages) >= 1
    assert re.fullmatch(r"(buy|sell) [\d.]+ (BTC|ETH)/USDT at [\d.]+ \(\w+\)", messages[0])
    assert canary not in "".join(Inbox.bodies)
    for path in folder.rglob("*"):
        assert not path.is_file() or canary.encode() not in path.read_bytes(), path


def test_messages_tell_trades_with_their_profit_days_start_and_stop(market, inbox):
    folder, _, _ = market
    long = {symbol: write_bars(folder / f"{symbol[:3]}.parquet", 1_600) for symbol in ("BTC/USDT",)}
    with VenueProcess(folder, *(f"{symbol}={path}" for symbol, path in long.items())) as venue:
        bot = Bot(folder, {**venue.settings(), "symbols": "[BTC/USDT]", "notify.max_per_minute": "600"})
        urls = {"PAPERBOT_NOTIFY_URLS": f"json://127.0.0.1:{inbox}/"}
        bot.run("--until", until(long["BTC/USDT"], 700), **urls)
        bot.run("--until", until(long["BTC/USDT"]), **urls)
    messages = [json.loads(body)["message"] for body in Inbox.bodies]
    name = bot.ask("status")["session"]
    assert messages[0] == f"session {name} has started"
    assert messages.count(f"session {name} has stopped; its files are in data") == 2
    trips = pq.read_table(folder / "data/round_trips.parquet").to_pylist()
    told = [one for one in messages if one.startswith(("left", "stopped out of"))]
    way = {"stop": "stopped out of"}
    assert told == [
        f"{way.get(trip['reason'], 'left')} BTC/USDT: {trip['pnl']:+,.2f} USDT ({trip['return_pct']:+.2f} %) after"
        f" {trip['duration_s'] / 60:,.0f} minutes ({trip['strategy']})"
        for trip in trips
    ]
    assert len({one.split()[0] for one in told}) == 2
    entered = [one for one in messages if one.startswith("entered BTC/USDT: ")]
    assert len(entered) == len(trips) + len(bot.ask("status")["positions"])
    day = bot.ask("profit", "--daily")["periods"][0]
    shown = f"2023-11-15: {day['profit']:+,.2f} USD ({day['profit_pct']:+.2f} %), equity {day['equity']:,.2f}"
    shown += f"; {day['trades']} trades, {day['won']} won"
    assert [one for one in messages if one.startswith("2023-")] == [shown]


def test_advice_enters_between_slices_and_replays_without_a_network(market):
    folder, files, sources = market

    class Advisor(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            advice = {"symbol": "BTC/USDT", "side": "long", "notional_usd": 300.0, "confidence": 0.9}
            said = json.dumps({"advice": {**advice, "reason": "up", "ttl_s": 86_400}})
            body = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    llm = {
        "llm.provider": "openai",
        "llm.base_url": f"http://127.0.0.1:{server.server_port}/v1",
        "llm.every": "20m",
        "llm.max_age": "1d",
        "llm.timeout_s": "60",
    }
    with SteeredVenue(folder, *sources) as venue:
        bot = Bot(folder, {**venue.settings(), **llm})
        process = bot.start("--until", until(files["ETH/USDT"]), OPENAI_API_KEY="sk-canary-4711-x")
        for answers, minute in enumerate((41, 61, 81), 1):
            venue.play(minute)
            bot.wait_for(lambda: bot.count("advice") >= answers, process, lambda: "no answer has come in")  # noqa: B023
        venue.play(400)  # From here on the market does not wait for the advisor.
        assert process.wait(PATIENCE_S) == 0, bot.log()[-3000:]
    server.shutdown()
    server.server_close()
    rows = [json.loads(line) for line in (folder / "data/advice.jsonl").read_text().splitlines()]
    assert "accepted" in {row["outcome"] for row in rows}
    found = bot.ask("verify")
    assert found["digest"] == bot.ask("replay", "--session", found["session"], "--out", "again")["digest"]
    trades = pq.read_table(folder / "again/trades.parquet").to_pylist()
    assert "llm" in {one["strategy"] for one in trades}


def test_data_fetch_writes_what_replay_reads_and_goes_on(market):
    folder, files, sources = market
    with SteeredVenue(folder, *sources) as venue:
        venue.skip(90)
        feed = [part for key, value in venue.settings().items() for part in ("--set", f"{key}={value}")]
        command = ["data", "fetch", "BTC/USDT", "--since", "2023-11-15", *feed, "--out", "got.parquet"]
        first = json.loads(call([*command, "--json"], folder)[1])
        venue.skip(130)
        second = json.loads(call([*command, "--json"], folder)[1])
    assert second["bars"] > first["bars"] > 0
    got = pq.read_table(folder / "got.parquet")
    assert got.equals(pq.read_table(files["BTC/USDT"]).slice(0, got.num_rows).cast(got.schema))
    code, _, err = call(["replay", "BTC/USDT=got.parquet", "--json"], folder)
    assert code == 0, err


def test_data_fetch_is_refused_for_a_venue_that_it_does_not_know(tmp_path):
    command = "data fetch BTC/USDT --since 2023-11-15 --set exchange=kraken --set environment=spot"
    code, _, err = call(command.split(), tmp_path)
    assert code == 2
    assert "exchange = kraken: live data is available for binance only" in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


def test_faults_of_every_kind_change_nothing(market):
    """A short version of `make soak`."""
    folder, files, sources = market
    shares = {
        "disconnect": 0.003,
        "silence": 0.002,
        "duplicate": 0.03,
        "reorder": 0.03,
        "delay": 0.03,
        "lost_last": 0.03,
    }
    shares |= {"malformed": 0.01, "truncated": 0.005, "http_429": 0.02, "http_500": 0.03, "not_json": 0.03, "skew": 1.5}
    options = [part for fault, share in shares.items() for part in ("--fault", f"{fault}={share}")]
    with VenueProcess(folder, *sources, options=tuple(options)) as venue:
        bot = Bot(folder, venue.settings())
        log = bot.run("--until", until(files["ETH/USDT"]))
    assert "bar_refused" in log
    assert "venue_error" in log
    assert bot.ask("verify")["digest"] == bot.replay(*sources)


def test_a_hostile_venue_changes_nothing(market):
    """Every message and answer of `exchange/hostile.py`, in turn, between the true ones."""
    folder, files, sources = market
    with VenueProcess(folder, *sources, options=("--fault", "hostile=0.2", "--updates", "4")) as venue:
        bot = Bot(folder, venue.settings())
        log = bot.run("--until", until(files["ETH/USDT"]))
    assert "bar_refused" in log
    assert "Traceback" not in log
    assert bot.ask("verify")["digest"] == bot.replay(*sources)


def test_a_feed_that_stays_silent_halts_with_a_reason(tmp_path):
    """The venue dies two seconds before the next bar is due, so the bot finds it too late twelve seconds afterwards."""
    _, sources = two_markets(tmp_path, 40)
    venue = SteeredVenue(tmp_path, *sources, options=("--updates", "30"))
    bot = Bot(tmp_path, {**venue.settings(), "feed.max_wait_s": "10"})
    venue.skip(10, second=5)
    process = bot.start()
    venue.play(13, second=1)  # The next bar is due a minute later, which is time enough to look.
    bars = "source IN ('stream', 'backfill')"
    bot.wait_for(lambda: bot.count("inputs", bars) == 6, process, lambda: "no bars have come in")
    assert bot.ask("status")["halted"] == "none"
    venue.play(13, second=58)
    venue.wait_for(13, second=58)
    venue.process.kill()
    bot.wait_for_log("feed_stale", process)
    status = bot.ask("status")
    assert status["halted"] == "feed"
    assert status["feed"]["age_s"] > 10
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def test_testnet_needs_its_keys(tmp_path):
    code, _, err = call(["run"], tmp_path)
    assert code == 2
    assert "BINANCE_SPOT_TESTNET_API_KEY is missing" in " ".join(err.split())


# ---- health -------------------------------------------------------------------------------------------------------
def test_doctor_and_healthcheck(market):
    folder, _, sources = market
    shutil.copytree(ROOT / "config", folder / "config")
    with VenueProcess(folder, *sources, options=("--speed", "60")) as venue:
        feed = {"market_data": "mainnet", "rest_url": venue.url, "ws_url": venue.ws_url}
        config = folder / "config/config.yaml"
        config.write_text(config.read_text() + f"\nfeed: {json.dumps(feed)}\n")
        code, out, _ = call(["doctor"], folder, PROMETHEUS_PORT="0")
        assert code == 1  # The recording's clock stands in 2023.
        assert re.search(
            r"FAILED venue: mainnet answers; its clock minus ours is -\d[\d,]+ ms, but ours may be at most 1,000 ms"
            r" ahead or 5,000 ms behind: set this machine's clock",
            out,
        )
        code, out, _ = call(["doctor", "--set", "feed.clock=venue"], folder, PROMETHEUS_PORT="0")
        assert code == 0, out
        assert "any free port (PROMETHEUS_PORT=0)" in out
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            code, told, _ = call(["doctor", "--set", "feed.clock=venue"], folder, PROMETHEUS_PORT=str(port))
        assert code == 1
        assert f"FAILED port: 127.0.0.1:{port}: Address already in use; set PROMETHEUS_PORT to another port" in told
        assert {line.split()[1].rstrip(":") for line in out.splitlines()} == {
            *("clock", "disk", "port", "configuration", "credentials", "journal", "venue"),
        }
    code, out, _ = call(["doctor"], folder, PROMETHEUS_PORT="0")
    assert code == 1
    assert re.search(r"FAILED venue: .*exchangeInfo: Cannot connect to host 127\.0\.0\.1:\d+", out)
    code, _, err = call(["healthcheck"], folder, PROMETHEUS_PORT="9")
    assert code == 2
    assert "does not answer" in " ".join(err.split())
