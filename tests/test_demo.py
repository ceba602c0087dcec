"""The offline demo, as the runbook runs it: its lines, its artifacts, its metrics, its hold."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from effort import amount
from recorded import read
from shell import KEYS, PATIENCE_S, ROOT, environment, finish, read_until, run, scrape, start, url_of

ARTIFACTS = ("trades.parquet", "ledger.parquet", "orders.parquet", "round_trips.parquet", "advice.jsonl")
STAMP = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z|(?<="url": )"[^"]*"|(?<=url=)\S+')
"""Wall-clock times, and the port that a test leaves to the system."""


def workplace(folder):
    """A working directory like a checkout's: the shipped configuration, nothing else."""
    shutil.copytree(ROOT / "config", folder / "config")
    return folder


def offline(folder, **variables):
    return run([], folder, OFFLINE_DEMO="1", PROMETHEUS_PORT="0", **KEYS, **variables)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = workplace(tmp_path_factory.mktemp("first"))
    code, out, err = offline(folder)
    assert code == 0, err
    return folder, out.splitlines()


def payloads(lines, words):
    """The JSON of each line that starts with these words."""
    return [json.loads(line.removeprefix(f"{words}: ")) for line in lines if line.startswith(f"{words}: ")]


def test_demo_logs_the_runbooks_lines(first):
    _, lines = first
    assert sum(bool(re.match(r"^.*candle: \{.*\}$", line)) for line in lines) == 10
    assert 1 <= sum(bool(re.match(r"^.*strategy signal: \{.*\}$", line)) for line in lines) <= 3
    assert sum(bool(re.match(r"^.*order submitted: \{.*\}$", line)) for line in lines) >= 1
    assert sum(bool(re.match(r"^.*fill: \{.*\}$", line)) for line in lines) >= 1
    assert [line for line in lines if re.match(r"^.*execution demo complete$", line)] == ["execution demo complete"]
    for words in ("candle demo complete", "strategy demo complete"):
        assert lines.count(words) == 1


def test_demo_lines_stand_in_the_order_of_what_happened(first):
    _, lines = first
    assert lines.index("candle demo complete") == max(i for i, line in enumerate(lines) if "candle: " in line) + 1
    assert lines.index("strategy demo complete") > max(i for i, line in enumerate(lines) if "fill: " in line)
    assert lines[-1] == "execution demo complete"
    plain = [line for line in lines if re.match(r"(strategy signal|order submitted|fill): ", line)]
    times = [json.loads(line.partition(": ")[2])["ts"] for line in plain]
    assert times == sorted(times)
    orders = {one["order_id"]: one["ts"] for one in payloads(lines, "order submitted")}
    for one in payloads(lines, "fill"):
        assert orders[one["order_id"]] <= one["ts"]


def test_demo_fills_an_order_on_two_bars(first):
    _, lines = first
    bars = {}
    for one in payloads(lines, "fill"):
        bars.setdefault(one["order_id"], set()).add(one["ts"])
    assert any(len(times) >= 2 for times in bars.values())


def test_demo_signals_carry_what_the_contract_names(first):
    _, lines = first
    signals = payloads(lines, "strategy signal")
    for one in signals:
        assert set(one) == {"ts", "symbol", "strategy", "side", "strength", "reason", "params"}
        assert one["side"] in {"long", "short", "flat"}
        assert 0 <= one["strength"] <= 1
        assert one["reason"]
    assert {one["strategy"] for one in signals} >= {"llm", "mean_reversion"}


def test_demo_shows_one_accepted_and_one_denied_advice(first):
    folder, lines = first
    denied = [json.loads(line) for line in lines if '"llm_guard_denied"' in line]
    assert [one["reason"] for one in denied] == ["notional_cap"]
    keys = "event reason symbol market size notional_usd max_notional_usd"
    assert set(keys.split()) <= set(denied[0])
    assert denied[0]["notional_usd"] > denied[0]["max_notional_usd"]
    rows = [json.loads(line) for line in (folder / "data/advice.jsonl").read_text().splitlines()]
    assert [row["outcome"] for row in rows if row["outcome"] != "no_answer"] == ["accepted", "denied"]


def test_demo_artifacts_say_what_the_log_says(first):
    folder, lines = first
    trades = pq.read_table(folder / "data/trades.parquet").to_pylist()
    fills = payloads(lines, "fill")
    assert len(trades) == len(fills) > 0
    for trade, line in zip(trades, fills, strict=True):
        for name in ("symbol", "order_id", "strategy", "side", "qty", "price", "fee", "fee_asset", "liquidity", "role"):
            assert trade[name] == line[name]
        assert trade["ts"].strftime("%Y-%m-%dT%H:%M:%SZ") == line["ts"]
        for name in ("fee_usd", "realized_pnl", "slippage_bps"):
            assert trade[name] == pytest.approx(line[name], abs=1e-6)
    orders = {one["order_id"]: one for one in pq.read_table(folder / "data/orders.parquet").to_pylist()}
    for line in payloads(lines, "order submitted"):
        order = orders[line["order_id"]]
        for name in ("symbol", "strategy", "side", "type", "time_in_force", "role", "reduce_only"):
            assert order[name] == line[name]
        assert (order["stop_price"], order["limit_price"]) == (line.get("stop_price"), line.get("limit_price"))
    filled = {}
    for line in fills:
        filled[line["order_id"]] = filled.get(line["order_id"], 0.0) + line["qty"]
        if line["role"] == "entry":
            assert line["remaining"] == pytest.approx(orders[line["order_id"]]["qty"] - filled[line["order_id"]])
    ledger = pq.read_table(folder / "data/ledger.parquet").to_pylist()
    assert len(ledger) > 100
    for name in ("trades", "ledger"):
        metadata = pq.read_metadata(folder / f"data/{name}.parquet")
        assert metadata.metadata is None


def test_demo_candles_are_the_markets(first):
    _, lines = first
    plan, events = read([f"{symbol}=synthetic:156:5" for symbol in ("BTC/USDT", "ETH/USDT")])
    for bar, line in zip(events, payloads(lines, "candle"), strict=True):
        assert line["symbol"] == plan.symbols[bar["symbol"]]
        assert line["ts"] == str(np.datetime64(int(bar["open_ts"]), "ns"))[:19] + "Z"
        for name in ("open", "high", "low", "close"):
            assert line[name] == bar[name] / 1e8


def test_demo_is_the_same_every_time(first, tmp_path):
    folder, lines = first
    other = workplace(tmp_path)
    code, out, _ = offline(other)
    assert code == 0
    for name in ARTIFACTS:
        assert (other / "data" / name).read_bytes() == (folder / "data" / name).read_bytes(), name
    assert [STAMP.sub("", line) for line in out.splitlines()] == [STAMP.sub("", line) for line in lines]


def test_demo_in_json_has_the_same_plain_lines_and_json_for_the_rest(first, tmp_path):
    _, console = first
    code, out, _ = offline(workplace(tmp_path), LOG_FORMAT="json")
    assert code == 0
    plain = r"(candle|strategy signal|order submitted|fill): \{|(candle|strategy|execution) demo complete$"
    lines = out.splitlines()
    assert [line for line in lines if re.match(plain, line)] == [line for line in console if re.match(plain, line)]
    others = [json.loads(line) for line in lines if not re.match(plain, line)]
    assert {"pattern_detected", "llm_guard_denied", "summary", "order_ended"} <= {one["event"] for one in others}
    whole = [line for line in lines if '"pattern_detected"' in line or '"llm_guard_denied"' in line]
    assert whole == [line for line in console if '"pattern_detected"' in line or '"llm_guard_denied"' in line]


def test_demo_and_paperbot_demo_are_the_same(first, tmp_path):
    folder, _ = first
    code, _, _ = run(["demo"], workplace(tmp_path), PROMETHEUS_PORT="0")
    assert code == 0
    for name in ARTIFACTS:
        assert (tmp_path / "data" / name).read_bytes() == (folder / "data" / name).read_bytes()


def test_demo_is_replay_of_its_market(first, tmp_path):
    """The demo is no engine of its own: replay of the same market with the same advice writes the same files."""
    folder, _ = first
    markets = [f"{symbol}=synthetic:156:180" for symbol in ("BTC/USDT", "ETH/USDT")]
    arguments = ["replay", *markets, "--advice", str(ROOT / "config/llm/demo.jsonl")]
    code, _, err = run(arguments, workplace(tmp_path))
    assert code == 0, err
    for name in ARTIFACTS:
        assert (tmp_path / "data" / name).read_bytes() == (folder / "data" / name).read_bytes(), name


def test_stored_advice_replays(first, tmp_path):
    folder, _ = first
    markets = [f"{symbol}=synthetic:156:180" for symbol in ("BTC/USDT", "ETH/USDT")]
    code, _, err = run(["replay", *markets, "--advice", str(folder / "data/advice.jsonl")], workplace(tmp_path))
    assert code == 0, err
    for name in ARTIFACTS:
        assert (tmp_path / "data" / name).read_bytes() == (folder / "data" / name).read_bytes(), name


CONTRACT_SERIES = """
candles_fetched_total features_computed_total signals_emitted_total orders_submitted_total orders_blocked_total
fills_total fees_paid_total realized_pnl_total equity_gauge account_equity_usd paperbot_killswitch_active
killswitch_trips_total pattern_detected_total pattern_intent_total pattern_to_intent_latency_seconds_bucket
"""


def assert_metrics_are_what_the_artifacts_say(text, folder):
    """Each series against the Parquet files that the same run wrote."""
    values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name, *sorted(sample.labels.values())] = sample.value
    trades = pq.read_table(folder / "trades.parquet").to_pylist()
    orders = pq.read_table(folder / "orders.parquet").to_pylist()
    last = pq.read_table(folder / "ledger.parquet").to_pylist()[-1]
    for symbol in ("BTC/USDT", "ETH/USDT"):
        mine = [trade for trade in trades if trade["symbol"] == symbol]
        assert values["fees_paid_total", symbol] == pytest.approx(sum(one["fee_usd"] for one in mine))
        assert values["realized_pnl_total", symbol] == pytest.approx(sum(one["realized_pnl"] for one in mine))
        assert values["candles_fetched_total", symbol] == 180
        for liquidity in ("maker", "taker"):
            count = sum(one["liquidity"] == liquidity for one in mine)
            assert values["fills_total", *sorted((liquidity, symbol))] == count
        for kind in ("market", "limit", "stop"):
            count = sum(one["symbol"] == symbol and one["type"] == kind for one in orders)
            assert values["orders_submitted_total", *sorted((kind, symbol))] == count
        still = sum(one["symbol"] == symbol and one["state"] == "open" for one in orders)
        assert values["paperbot_open_orders", symbol] == still
    assert values["equity_gauge",] == values["account_equity_usd", "crypto"] == pytest.approx(last["equity"])
    assert values["paperbot_drawdown_ratio",] == pytest.approx(last["drawdown"])
    assert values["paperbot_unrealized_pnl",] == pytest.approx(last["unrealized_pnl"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_on_the_very_last_line_ends_the_hold_in_order(tmp_path, number):
    folder = workplace(tmp_path)
    for _ in range(amount(3, 1)):
        process = start([], folder, OFFLINE_DEMO="1", PROMETHEUS_PORT="0", HOLD_METRICS_SECONDS="3600", **KEYS)
        read_until(process, "execution demo complete")
        process.send_signal(number)
        assert finish(process)[0] == 0


def test_two_runs_at_a_time_in_one_folder(tmp_path):
    """One writes, the others say why they do not; what is there afterwards is whole."""
    folder = workplace(tmp_path)
    runs = [start(["demo", "--set", "demo.bars=3000"], folder, PROMETHEUS_PORT="0") for _ in range(3)]
    done = [finish(one) for one in runs]
    assert [code for code, _, _ in done].count(0) >= 1
    for code, _, err in done:
        assert code == 0 or "another run is writing to this folder" in " ".join(err.split())
    for name in ARTIFACTS[:4]:
        pq.read_table(folder / "data" / name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_demo_holds_metrics_until_it_is_told_to_end(tmp_path, number):
    variables = {"ENABLE_PATTERN_OBS_DEMO": "1", "PATTERN_OBS_DEMO_SECONDS": "0.2", "HOLD_METRICS_SECONDS": "3600"}
    process = start([], workplace(tmp_path), OFFLINE_DEMO="1", PROMETHEUS_PORT="0", **KEYS, **variables)
    before = read_until(process, "execution demo complete")
    text = scrape(url_of(before))
    assert_metrics_are_what_the_artifacts_say(text, tmp_path / "data")
    more = read_until(process, "pattern_intent")  # It goes on emitting while it holds.
    process.send_signal(number)
    code, after, err = finish(process)
    assert (code, err) == (0, "")
    for name in CONTRACT_SERIES.split():
        assert re.search(rf"^{name}(\{{.*\}})? ", text, re.MULTILINE), name
    assert 'paperbot_killswitch_active{market="crypto"} 0.0' in text
    assert "_created" not in text
    fills = sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("fills_total{"))
    assert fills == len(payloads(before.splitlines(), "fill"))
    events = [json.loads(line)["event"] for line in (more + after).splitlines()]
    assert set(events) == {"pattern_detected", "pattern_intent"}  # Nothing else after the last line.
    lines = before.splitlines()
    assert '"source": "demo"' in next(line for line in lines if "pattern_detected" in line)
    assert next(i for i, line in enumerate(lines) if '"pattern_intent"' in line) < lines.index("candle demo complete")


def test_hold_ends_by_itself(tmp_path):
    code, out, _ = offline(workplace(tmp_path), HOLD_METRICS_SECONDS="0.3")
    assert code == 0
    assert out.splitlines()[-1] == "execution demo complete"


def test_a_port_that_is_taken_is_a_warning(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, out, _ = run([], workplace(tmp_path), OFFLINE_DEMO="1", PROMETHEUS_PORT=port)
    assert code == 0
    assert re.search(r"warning.*metrics_not_served.*Address already in use", out)
    assert out.splitlines()[-1] == "execution demo complete"


def test_demo_is_offline_whatever_the_configuration_says(tmp_path):
    folder = workplace(tmp_path)
    config = (folder / "config/config.yaml").read_text()
    llm = "\nllm: {provider: openai, base_url: 'http://127.0.0.1:9/v1'}\n"
    (folder / "config/config.yaml").write_text(config + llm)
    code, out, err = offline(folder)
    assert code == 0, err
    assert "llm_advice_accepted" in out


def test_demo_needs_no_configuration_file(tmp_path):
    code, out, err = offline(tmp_path)
    assert code == 0, err
    assert out.splitlines()[-1] == "execution demo complete"


def test_sigterm_in_the_middle_leaves_nothing_half_written(tmp_path):
    process = start(["demo", "--set", "demo.bars=100000"], workplace(tmp_path), PROMETHEUS_PORT="0")
    read_until(process, "candle demo complete")
    process.send_signal(signal.SIGTERM)
    code, _, _ = finish(process)
    assert code == 143
    assert not (tmp_path / "data").exists()


# ---- the environment ----------------------------------------------------------------------------------------------
def test_online_without_a_credential_names_the_variable(tmp_path):
    folder = workplace(tmp_path)
    code, out, err = run([], folder)
    assert (code, out) == (2, "")
    assert "BINANCE_SPOT_TESTNET_API_KEY is missing" in " ".join(err.split())
    code, _, err = run(
        [], folder, OFFLINE_DEMO="0", BINANCE_SPOT_TESTNET_API_KEY="x", BINANCE_SPOT_TESTNET_API_SECRET=""
    )
    assert code == 2
    assert "BINANCE_SPOT_TESTNET_API_SECRET is missing" in " ".join(err.split())
    assert len(err.strip().splitlines()) == 1


def test_dotenv_is_read_and_the_environment_wins(tmp_path):
    folder = workplace(tmp_path)
    (folder / ".env").write_text("OFFLINE_DEMO=1\nPROMETHEUS_PORT=0\nLOG_FORMAT=json\n")
    code, out, _ = run([], folder, LOG_FORMAT="console")
    assert code == 0
    assert "[info" in out
    code, out, _ = run([], folder, LOG_FORMAT="")  # Empty counts as unset.
    assert json.loads(out.splitlines()[0])["event"] == "metrics_served"
    code, _, err = run([], folder, OFFLINE_DEMO="0")
    assert code == 2
    assert "missing" in err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OFFLINE_DEMO", "perhaps"),
        ("HOLD_METRICS_SECONDS", "-1"),
        ("PROMETHEUS_PORT", "99999"),
        ("PATTERN_OBS_DEMO_SECONDS", "0"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_variable_is_one_sentence(tmp_path, name, value):
    code, out, err = run([], tmp_path, **{"OFFLINE_DEMO": "1", name: value})
    assert (code, out) == (2, "")
    assert f"environment: {name} = '{value}'" in " ".join(err.split())
    assert "Traceback" not in err


def test_setup_env_puts_the_virtual_environment_on_the_path():
    script = f". {ROOT}/scripts/setup_env.sh; . {ROOT}/scripts/setup_env.sh; echo $PATH; echo $PYTHONPATH"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)  # noqa: S607
    path, pythonpath = done.stdout.splitlines()
    assert path.split(":").count(f"{ROOT}/.venv/bin") == 1
    assert pythonpath == f"{ROOT}/src"


def test_a_signal_that_another_thread_takes_ends_the_hold_too():
    """The system may hand a process's signal to any of its threads; the main one is then not woken by it."""
    script = """
import signal, threading, time
from paperbot.signals import holding

def take():
    time.sleep(0.5)  # The main thread waits by now; where it does not yet, the test shows less and still passes.
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(3600)

with holding(3600):
    threading.Thread(target=take, daemon=True).start()
"""
    done = subprocess.run([sys.executable, "-c", script], env=environment(), timeout=PATIENCE_S, check=False)
    assert done.returncode == 0
