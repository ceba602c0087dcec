"""Small files as people have them, and what a strategy makes of them: buy after one bar, sell after another."""

from pathlib import Path

import pyarrow.parquet as pq

from paperbot.app.replay import replay
from paperbot.config import parse_assignment
from paperbot.research.job import ReplayRequest

STRATEGY = '''
from paperbot.strategy import FLAT, HOLD, LONG

PARAMS = {"buy": 2.0, "sell": 4.0, "again": 0.0}


class Strategy:
    """Long after bar `buy`, flat after bar `sell`; with `again` flat on every bar from then on. Bars count from 1."""

    def __init__(self, params):
        self.params, self.bars = params, 0

    def on_bar(self, bar):
        self.bars += 1
        if self.bars == self.params["buy"]:
            return LONG
        if self.bars == self.params["sell"] or (self.params["again"] and self.bars > self.params["sell"]):
            return FLAT
        return HOLD
'''

SETTINGS = (
    *("exchange=binance", "environment=spot", "risk.sizing=fixed_quote", "risk.fixed_quote=1000"),
    *("risk.attach_stop=false", "risk.max_position_value_per_symbol=1", "risk.daily_loss_cap=0"),
    *("risk.max_drawdown=0", "risk.entry_timeout_bars=0", "ledger.every=1m"),
)


class Case:
    """A folder with one file of bars and the strategy; `run` replays it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "at.py").write_text(STRATEGY)
        self.notes = []

    def run(self, symbol, content, *settings, name="bars.csv", buy=2, sell=4, again=0, **how):
        """The summary of a replay of a file with this content (text or bytes)."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        params = f"{{buy: {buy}, sell: {sell}, again: {again}}}"
        strategy = f"strategies=[{{name: at, path: {self.folder / 'at.py'}, params: {params}}}]"
        overrides = [parse_assignment(text) for text in (*SETTINGS, strategy, *settings)]
        request = ReplayRequest([f"{symbol}={path}"], None, out=self.folder / "out", overrides=overrides, **how)
        self.notes.clear()
        return replay(request, self.notes.append).summary

    def fills(self):
        """(opening time, side, quantity, price, fee) of each fill of the last run."""
        rows = pq.read_table(self.folder / "out/trades.parquet").to_pylist()
        return [(str(row["open_ts"])[:19], row["side"], row["qty"], row["price"], row["fee"]) for row in rows]


def minutes(*prices, volume=10_000):
    """Flat-ish bars of a minute from 2024-01-01, one for each price (text, so that decimals stay as written)."""
    lines = [f"2024-01-01 00:{k:02d}:00,{price},{price},{price},{price},{volume}" for k, price in enumerate(prices)]
    return "\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n"


def days(*prices, volume=10_000):
    """The same of a day from January 2024."""
    lines = [f"2024-01-{1 + k:02d},{price},{price},{price},{price},{volume}" for k, price in enumerate(prices)]
    return "\n".join(["date,open,high,low,close,volume", *lines]) + "\n"
