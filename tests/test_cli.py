"""The command line: each mistake is one sentence on standard error, exit code 2, and nothing written."""

import contextlib
import json
import os
import re
import subprocess
import sys

import pytest

import shell
from paperbot import __version__, cli
from shell import start


def run(monkeypatch, capsys, *arguments):
    """(exit code, standard output, standard error on one line)."""
    monkeypatch.setattr("sys.argv", ["paperbot", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    return stopped.value.code, printed.out, " ".join(printed.err.split())


GOOD = "BTC/USDT=synthetic:1:200"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["BTCXYZ=synthetic:1:100"], "'BTCXYZ' is not a symbol: expected BASE/QUOTE"),
        (["SOMEBUSD=synthetic:1:100"], "it may be SOME/BUSD or SOMEB/USD; write one of them"),
        (["BTC/BTC=synthetic:1:100"], "base and quote are the same"),
        (["BTC/USDT"], "expected SYMBOL=FILE"),
        (["BTC/USDT=synthetic:x:100"], "expected synthetic:SEED:BARS"),
        (["BTC/USDT=synthetic:1:0"], "expected synthetic:SEED:BARS"),
        ([GOOD, GOOD], "BTC/USDT is given twice"),
        ([GOOD, "--timeframe", "7x"], "--timeframe: '7x' is not a valid duration"),
        ([GOOD, "--cash", "USDT"], "--cash USDT: expected ASSET=AMOUNT"),
        ([GOOD, "--cash", "USDT=lots"], "expected ASSET=AMOUNT"),
        ([GOOD, "--start", "yesterday"], "--start yesterday: expected a time"),
        ([GOOD, "--start", "2031-01-01"], "no bar lies between --start and --end"),
        ([GOOD, "--realism", "rosy"], "realism = 'rosy'"),
        ([GOOD, "--strategy", "smacross"], "there is no strategy smacross"),
        ([GOOD, "--config", "nowhere.yaml"], "nowhere.yaml: there is no such file"),
        ([GOOD, "--set", "risk.max_drawdwn=1"], "did you mean max_drawdown?"),
        ([GOOD, "--set", "execution.tick_size=0"], "tick_size = 0"),
        (["BTC/XYZ=synthetic:1:100"], "the account holds no XYZ; add some with --cash XYZ=AMOUNT"),
        (["BTC/USDT=synthetic:²:10"], "expected synthetic:SEED:BARS"),
        (["BTC/USDT=synthetic:99999999999999999999:10"], "expected synthetic:SEED:BARS"),
        ([GOOD, "--set", "risk.price_collar=1e12"], "risk.price_collar"),
        ([GOOD, "--set", "risk.max_gross_exposure=1e30"], "risk.max_gross_exposure"),
        ([GOOD, "--set", "risk.stale_after_bars=9999999999"], "risk.stale_after_bars"),
        ([GOOD, "--set", "execution.latency_ms=99999999999999999"], "latency_ms"),
        ([GOOD, "--set", "ledger.every=999999999999w"], "longer than a year"),
        ([GOOD, "--timeframe", "99999999999w"], "longer than a year"),
        ([GOOD, "--set", "a=["], "the value is not YAML"),
        ([GOOD, "--set", "execution.symbols=5"], "symbols must map patterns"),
        ([GOOD, "--set", "execution.symbols={1: {tick_size: 1}}"], "1 is not a pattern; use one such as */USDT"),
        ([GOOD, "--set", "execution=7"], "execution"),
        (["BTC/USDT=nowhere.parquet"], "nowhere.parquet: there is no such file"),
    ],
)
def test_mistakes_of_replay(monkeypatch, capsys, tmp_path, arguments, message):
    out = tmp_path / "out"
    code, printed, error = run(monkeypatch, capsys, "replay", *arguments, "--out", out)
    assert (code, printed) == (2, "")
    assert message in error
    assert "Traceback" not in error
    assert not out.exists() or not list(out.iterdir())


def test_notes_go_to_standard_error_and_one_object_to_standard_output(monkeypatch, capsys, tmp_path):
    code, printed, error = run(monkeypatch, capsys, "replay", "NEO/BTC=synthetic:1:3000", "--json", "--out", tmp_path)
    assert code == 0
    assert "the account holds no BTC: running in BTC with 1 BTC" in error
    summary = json.loads(printed)
    assert (summary["currency"], summary["start_equity"]) == ("BTC", 1.0)


def test_a_further_override_leaves_the_built_in_ones(monkeypatch, capsys, tmp_path):
    arguments = ("--set", "oracle.overrides.BTC=50000", "--json", "--out", tmp_path)
    code, printed, _ = run(monkeypatch, capsys, "replay", GOOD, *arguments)
    assert code == 0
    assert json.loads(printed)["start_equity"] == 10_000


def test_start_inside_a_longer_bar(monkeypatch, capsys, tmp_path):
    """The slice at 06:00 holds minutes that count and an hour that still warms up: it is a slice like any other."""
    for name, step, bars in (("m", 60, 600), ("h", 3600, 10)):
        rows = [
            f"{1_704_067_200 + step * k},{100 + k % 7},{110 + k % 7},90,{100 + (k + 1) % 7},50" for k in range(bars)
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")
    texts = [f"{base}/USDT={tmp_path / 'm.csv'}" for base in ("AA", "BB", "CC")] + [f"HH/USDT={tmp_path / 'h.csv'}"]
    arguments = ("--start", "2024-01-01T05:30:00", "--json", "--out", tmp_path)
    code, printed, _ = run(monkeypatch, capsys, "replay", *texts, *arguments)
    assert code == 0
    assert json.loads(printed)["bars"] == 3 * 270 + 4


def test_cash_replaces_the_balances(monkeypatch, capsys, tmp_path):
    code, printed, _ = run(monkeypatch, capsys, "replay", GOOD, "--cash", "USDT=123.5", "--json", "--out", tmp_path)
    assert code == 0
    assert json.loads(printed)["start_equity"] == 123.5


def test_summary_for_people_names_what_was_written(monkeypatch, capsys, tmp_path):
    code, printed, _ = run(monkeypatch, capsys, "replay", "BTC/USDT=synthetic:7:3000", "--out", tmp_path)
    assert code == 0
    for text in ("max drawdown %", "Sharpe", "buy and hold %", "symbol BTC/USDT", "digest", "trades.parquet"):
        assert text in printed


def test_config_show_fits_100_columns(monkeypatch, capsys):
    code, printed, _ = run(monkeypatch, capsys, "config", "show", "BTC/USDT", "--set", f"llm.model={'long-' * 40}")
    assert code == 0
    assert max(len(line) for line in printed.splitlines()) <= 100
    assert "".join(printed.split()).count("long-") >= 38  # Two may be cut where a line ends.
    assert re.search(r"^BTC/USDT tick_size +0\.01 +(config/)?exchanges/binance_spot.yml", printed, re.MULTILINE)


def test_config_show_and_check(monkeypatch, capsys):
    code, printed, _ = run(monkeypatch, capsys, "config", "show", "BTC/USDT", "--set", "risk.max_drawdown=0.25")
    assert code == 0
    line = next(line for line in printed.splitlines() if line.startswith("risk.max_drawdown"))
    assert line.split() == ["risk.max_drawdown", "0.25", "command", "line"]
    assert run(monkeypatch, capsys, "config", "check")[1].startswith("the configuration is valid")
    code, _, error = run(monkeypatch, capsys, "config", "check", "--set", "execution.step_size=0.00000000001")
    assert code == 2
    assert "finer than" in error


def test_data_check_prints_its_findings(monkeypatch, capsys, tmp_path):
    file = tmp_path / "a.csv"
    rows = [("00", 1), ("10", 1), ("20", 0), ("50", 1)]
    file.write_text("time,open,high,low,close,volume\n" + "".join(f"17000000{k},1,2,1,2,{v}\n" for k, v in rows))
    code, printed, _ = run(monkeypatch, capsys, "data", "check", file)
    assert code == 0
    assert "gap" in printed
    assert "zero volume with moving prices" in printed
    report = json.loads(run(monkeypatch, capsys, "data", "check", file, "--json")[1])
    assert report["rows"] == 4


def test_the_version_is_said(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "--version") == (0, f"paperbot {__version__}\n", "")


def test_a_reader_that_goes_away_does_not_stop_the_work(tmp_path):
    """As `paperbot replay … | head` does: exit code 0, no traceback, and every artifact."""
    process = start(["replay", "BTC/USDT=synthetic:1:2000", "--out", "out"], tmp_path)
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(timeout=shell.PATIENCE_S) == 0
    assert "Traceback" not in error
    assert "BrokenPipe" not in error
    assert (tmp_path / "out/trades.parquet").is_file()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("data", "check", "bars.parquet"), "reading bars.parquet"),
        pytest.param(("replay", "BTC/USDT=bars.parquet"), "300/?", marks=pytest.mark.long),
        pytest.param(("report",), "drawing the page", marks=pytest.mark.long),
    ],
)
def test_a_terminal_is_told_what_goes_on(tmp_path, command, said):
    """And a pipe is not."""
    for made in ("data synthetic 1 300 --out bars.parquet", "replay BTC/USDT=bars.parquet"):
        assert shell.call(made.split(), tmp_path)[0] == 0
    code, _, err = shell.call(list(command), tmp_path)
    assert code == 0
    assert said not in err
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "paperbot.main", *command],
        cwd=tmp_path,
        env=shell.environment(TERM="xterm"),
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    told = b""
    with contextlib.suppress(OSError):  # The terminal is gone when the process is.
        while part := os.read(ours, 4096):
            told += part
    assert process.wait(shell.PATIENCE_S) == 0
    os.close(ours)
    assert said in told.decode()
