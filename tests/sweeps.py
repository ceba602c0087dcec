"""Sweeps for tests: small ones, asked for as a user would."""

from paperbot import cli
from paperbot.app.replay import replay
from paperbot.config import parse_assignment
from paperbot.research.job import ReplayRequest
from paperbot.research.sweep import SweepRequest, sweep
from paperbot.research.trials import FIGURES
from shell import ROOT

CONFIG = ROOT / "config/config.yaml"
SOURCES = ("BTC/USDT=synthetic:3:6000", "ETH/USDT=synthetic:4:6000")
SMALL = ("BTC/USDT=synthetic:3:1500",)
FAST, SLOW = "strategies.sma_cross.fast", "strategies.sma_cross.slow"
VARY = (f"{FAST}=5:20:5", f"{SLOW}=15,30,60", "risk.fixed_fraction=0.1,0.2")
FEW = (f"{FAST}=5,10", f"{SLOW}=30,60")
CALM = (
    *("risk.max_drawdown=0", "risk.daily_loss_cap=0", "risk.max_position_value_per_symbol=0"),
    *("risk.sizing=fixed_fraction", "risk.fixed_fraction=0.2"),
)
MINUTE_NS = 60 * 10**9
PYTHON = """
from paperbot.strategy import FLAT, LONG
FEATURES = ["sma(5)", "sma(20)"]
PARAMS = {"edge": 1.0}

class Strategy:
    def __init__(self, params):
        self.edge = params["edge"]

    def on_bar(self, bar):
        if self.edge > 1.5 and bar.close_ts > 1_704_100_000_000_000_000:
            raise ValueError("too far")
        return LONG if bar.features[0] > bar.features[1] * self.edge else FLAT
"""
"""A strategy in Python; with an edge above 1.5 it raises after nine hours of a made-up market."""


def asked(out, *, vary=VARY, sources=SOURCES, settings=CALM, replayed=None, **how):
    """What the command line would ask for; `replayed`: options that `replay` has too."""
    overrides = [parse_assignment(text) for text in settings]
    return SweepRequest(ReplayRequest(sources, CONFIG, overrides=overrides, **(replayed or {})), vary, out, **how)


def swept(out, **how):
    """(result, what was said)."""
    notes = []
    result = sweep(asked(out, **how), notes.append, lambda _done, _all: None)
    return result, notes


def tiny(out, **how):
    """Four sets over few bars."""
    return swept(out, **{"vary": FEW, "sources": SMALL, **how})


def settings_of(row):
    """The `--set` of a row, as a user would type it."""
    strategies = (
        "strategies=[{name: mean_reversion, kind: mean_reversion, enter: -1.6, leave: -0.3}, {name: sma_cross, "
        f"kind: sma_cross, fast: {row.get(FAST, 20)}, slow: {row.get(SLOW, 50)}}}]"
    )
    sizing = [f"risk.fixed_fraction={row['risk.fixed_fraction']}"] if "risk.fixed_fraction" in row else []
    return (strategies, *sizing)


def replayed(row, out, *, sources=SOURCES, settings=CALM, **window):
    """The summary that `replay` gives for the set of a row."""
    overrides = [parse_assignment(text) for text in (*settings, *settings_of(row))]
    return replay(ReplayRequest(sources, CONFIG, out=out, overrides=overrides, **window), lambda _: None).summary


def assert_same(row, summary):
    expected = {**summary, "blocked": sum(summary["blocked"].values())}
    assert {name: row[name] for name in FIGURES} == {name: expected[name] for name in FIGURES}
    if "digest" in row:
        assert row["digest"] == summary["digest"]


def command(out, *more, vary=VARY, sources=SOURCES):
    """The command line of such a sweep."""
    options = [part for text in vary for part in ("--vary", text)]
    options += [part for text in CALM for part in ("--set", text)]
    return ["sweep", *sources, "--config", str(CONFIG), "--out", str(out), *options, *more]


def typed(arguments):
    """Run the command line in this process; returns its exit code."""
    try:
        cli.main(arguments)
    except SystemExit as end:
        return end.code or 0
    return 0
