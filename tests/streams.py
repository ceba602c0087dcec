"""Random markets, accounts and events for the tests that compare two readings of the same rules."""

import numpy as np
from numpy.random import Generator

from paperbot.core import types as t
from paperbot.engine.machine import Machine, Params

MINUTE_NS = 60_000_000_000
PRICE_UNIT = 10**4
BASE_UNIT = 10**4
QUOTE_UNIT = 10**6
USUAL_PRICE = 40 * PRICE_UNIT
CHEAP_TICKS = (3, 150_000)
"""Symbols with these ticks cost one to five ticks. Those with tick 3 trade in quantities of billions."""
RICH = 10**13
"""In a stream whose account opens with more than this, products reach 2^62."""


def is_cheap(symbol: np.void) -> bool:
    return int(symbol["tick"]) in CHEAP_TICKS


def usual_quantity(symbol: np.void) -> int:
    """A quantity that is worth about as much as one unit of an ordinary base."""
    return BASE_UNIT * max(USUAL_PRICE // (3 * int(symbol["tick"])), 1) if is_cheap(symbol) else BASE_UNIT


def random_params(random: Generator) -> Params:
    """One to four symbols over a few quotes and bases, two or three strategies, every rule on or off."""
    n_symbols = int(random.integers(1, 5))
    n_strategies = int(random.integers(2, 4))
    risk = np.zeros(1, dtype=t.RISK_PARAMS)
    row = risk[0]
    row["sizing"] = random.choice([t.Sizing.ATR, t.Sizing.FIXED_QUOTE, t.Sizing.FIXED_FRACTION])
    row["risk_ppb"] = random.choice([5_000_000, 20_000_000])
    row["atr_stop_ppb"] = random.choice([500_000_000, 1_000_000_000, 2_500_000_000, 10**15], p=[0.3, 0.3, 0.3, 0.1])
    row["atr_target_ppb"] = random.choice([0, 800_000_000, 3_000_000_000, 10**15], p=[0.3, 0.3, 0.3, 0.1])
    row["attach_stop"] = random.choice([0, 1])
    row["fraction_ppb"] = random.choice([50_000_000, 300_000_000, 990_000_000, 10**9])
    row["max_position_ppb"] = random.choice([0, 200_000_000, 1_000_000_000, 10**15], p=[0.3, 0.3, 0.2, 0.2])
    row["gross_ppb"] = random.choice([0, 500_000_000, 1_000_000_000, 10**15], p=[0.3, 0.3, 0.2, 0.2])
    row["max_open_positions"] = random.choice([0, 1, 3])
    row["max_open_orders"] = random.choice([0, 2, 5])
    row["collar_ppb"] = random.choice([0, 20_000_000, 10**15], p=[0.5, 0.4, 0.1])
    row["rate_orders"] = random.choice([0, 2, 5])
    row["rate_window_ns"] = 2 * MINUTE_NS
    row["cooldown_bars"] = random.choice([0, 3])
    row["entry_timeout_bars"] = random.choice([0, 1, 4])
    row["daily_loss_ppb"] = random.choice([0, 5_000_000, 50_000_000])
    row["max_drawdown_ppb"] = random.choice([0, 20_000_000, 200_000_000])
    row["flatten_on_trip"] = random.choice([0, 1, 1])
    row["funds_margin_ppb"] = random.choice([0, 10_000_000])
    row["ledger_every_ns"] = random.choice([5, 17, 60]) * MINUTE_NS
    row["order_capacity"] = random.choice([4, 8, 64])
    row["n_symbols"], row["n_strategies"] = n_symbols, n_strategies
    features = np.array(
        [(t.FeatureKind.ATR, 3, 0, -1, 4), (t.FeatureKind.SMA, 2, 0, -1, 2), (t.FeatureKind.SMA, 5, 2, -1, 5)],
        dtype=t.FEATURE_PARAMS,
    )
    row["n_features"], row["ring_size"], row["atr_feature"], row["rsi_feature"] = len(features), 7, 0, t.NOBODY
    symbols, assets, opening = _markets(random, n_symbols)
    row["account_asset"] = 0
    strategies = np.zeros(n_strategies, dtype=t.STRATEGY_PARAMS)
    strategies["feature"] = t.NOBODY
    strategies[0]["kind"] = t.StrategyKind.SMA_CROSS
    strategies[0]["feature"][:2], strategies[0]["needs"] = (1, 2), 5
    enabled = (random.random(n_symbols * n_strategies) < 0.9).astype(np.int64)
    return Params(risk, symbols, assets, strategies, features, enabled, opening)


def _markets(random: Generator, n_symbols: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Assets: 0 the account currency, 1 a stable quote by override, 2 a fee token, then the bases."""
    symbols = np.zeros(n_symbols, dtype=t.SYMBOL_PARAMS)
    assets = np.zeros(3 + n_symbols, dtype=t.ASSET_PARAMS)
    assets[0]["via"] = t.RateVia.ACCOUNT
    assets[1]["via"] = t.RateVia.OVERRIDE
    assets[1]["rate_num"], assets[1]["rate_den"] = random.choice([(10_003, 10_000), (9_997, 10_000), (1, 1)])
    assets[2]["via"], assets[2]["rate_num"], assets[2]["rate_den"] = t.RateVia.OVERRIDE, 317, 1
    opening = np.zeros(len(assets), dtype=np.int64)
    wealth = int(random.choice([1, 10**4, 10**7], p=[0.7, 0.1, 0.2]))
    opening[0] = int(random.choice([0, 500, 2_000, 50_000])) * wealth * QUOTE_UNIT
    opening[1] = int(random.choice([200, 1_000, 20_000])) * wealth * QUOTE_UNIT
    opening[2] = int(random.choice([0, 3, 10**9]))
    for index, row in enumerate(symbols):
        base = 3 + index
        # The fourth symbol trades one traded base against another.
        quote = 3 if index == 3 else int(random.choice([0, 1]))
        row["base"], row["quote"] = base, quote
        assets[base]["via"], assets[base]["symbol"], assets[base]["next"] = t.RateVia.SYMBOL, index, quote
        base_digits, quote_digits = BASE_UNIT, BASE_UNIT if quote == 3 else QUOTE_UNIT
        row["scale"] = base_digits * PRICE_UNIT // quote_digits
        row["tick"] = random.choice([1, 50, 1000, *CHEAP_TICKS], p=[0.25, 0.25, 0.2, 0.15, 0.15])
        row["step"] = random.choice([1, 10, 1000])
        row["min_notional"] = random.choice([0, 5, 40, 600, 880], p=[0.2, 0.2, 0.1, 0.3, 0.2]) * quote_digits // 10
        usual = usual_quantity(row)
        row["min_quantity"] = random.choice([0, usual // 3, usual], p=[0.7, 0.2, 0.1])
        row["max_quantity"] = random.choice([0, usual + 7, 40 * usual], p=[0.7, 0.15, 0.15])
        row["max_market_quantity"] = random.choice([0, usual // 2 + 3, 4 * usual], p=[0.5, 0.35, 0.15])
        row["timeframe_ns"] = MINUTE_NS
        row["stale_ns"] = random.choice([0, 2]) * MINUTE_NS
        row["latency_ns"] = random.choice([0, 0, 1, MINUTE_NS])
        row["fixed_quote"] = 90 * quote_digits * (int(random.choice([1, wealth, 1000 * wealth])) if wealth > 1 else 1)
        row["maker_ppb"], row["taker_ppb"] = random.choice([0, 400_000]), random.choice([1_000_000, 1_234_567])
        row["slippage_ppb"] = random.choice([0, 250_000])
        row["atr_slippage_ppb"] = 130_000_001
        row["slippage_model"] = random.choice([t.SlippageModel.FIXED_BPS, t.SlippageModel.ATR_SCALED])
        row["liquidity_ppb"] = random.choice([100_000_000, 1_000_000_000])
        row["price_unit"], row["base_unit"], row["quote_unit"] = PRICE_UNIT, base_digits, quote_digits
        row["fee_asset"] = random.choice([t.FeeAsset.QUOTE, t.FeeAsset.RECEIVED, 2, 0, base])
        row["volume_in_quote"] = random.choice([0, 0, 1])
        row["touch_fills"] = random.choice([0, 0, 1])
    if random.random() < 0.2:
        opening[3] = 5 * BASE_UNIT
    return symbols, assets, opening


def random_events(random: Generator, params: Params, slices: int) -> np.ndarray:
    """Bars of all symbols (now and then one is missing), with orders, signals and commands between the slices."""
    n_symbols = len(params.symbols)
    prices = np.array([_first_price(random, symbol) for symbol in params.symbols])
    first_prices = prices.copy()
    start_ns = 1_700_000_000_000_000_000 // MINUTE_NS * MINUTE_NS
    day = random.choice([1, 30])  # Some streams pass several days.
    falls = random.random() < 0.5 and not _is_rich(params)
    fallen: set[int] = set()
    out: list[np.ndarray] = []
    warmup = int(random.integers(0, 6))
    order_ids = 1
    for number in range(slices):
        open_ts = start_ns + number * MINUTE_NS * int(day)
        news: list[int] = []
        present = [s for s in range(n_symbols) if random.random() < 0.95] or [0]
        for symbol in present:
            if falls and random.random() < (0.2 if symbol in fallen else 0.07):
                # The price falls or rises far at once, or comes back.
                level = 1.0 if symbol in fallen else random.choice([0.02, 0.3, 0.6, 1.5])
                prices[symbol] = max(first_prices[symbol] * level, 1)
                if level < 1:
                    fallen.add(symbol)
                    news.append(symbol)
                else:
                    fallen.discard(symbol)
            out.append(_bar(random, params, prices, symbol, open_ts, present[-1], warmup=number < warmup))
        close_ts = open_ts + MINUTE_NS
        for symbol in news:
            out += _after_a_fall(random, params, symbol, close_ts)
        for _ in range(int(random.poisson(0.5))):
            out.append(_command(random, params, prices, close_ts + int(random.integers(0, 3)), order_ids))
            order_ids += 1
    return np.concatenate(out)


def _after_a_fall(random: Generator, params: Params, symbol: int, ts: int) -> list[np.ndarray]:
    """Strategies want to be flat in a symbol that has fallen, and now and then trading is halted."""
    out = []
    for strategy in range(1, len(params.strategies)):
        if params.enabled[strategy * len(params.symbols) + symbol] and random.random() < 0.6:
            event = np.zeros(1, dtype=t.SIGNAL_EVENT)
            event["ts"], event["symbol"], event["kind"] = ts, symbol, t.EventKind.SIGNAL
            event["strategy"], event["target"] = strategy, t.Target.FLAT
            out.append(event.view(t.BAR_EVENT))
    if random.random() < 0.2:
        event = np.zeros(1, dtype=t.CONTROL_EVENT)
        event["ts"], event["kind"], event["reason"] = ts, t.EventKind.HALT, t.HaltReason.FEED
        out.append(event.view(t.BAR_EVENT))
    return out


def _is_rich(params: Params) -> bool:
    return int(params.opening.max()) > RICH


def _first_price(random: Generator, symbol: np.void) -> float:
    if is_cheap(symbol):
        return float(random.choice([random.uniform(0.8, 1.6), random.uniform(1, 5.5)]) * symbol["tick"])
    return float(random.uniform(0.5, 1.5) * USUAL_PRICE)


def _bar(
    random: Generator, params: Params, prices: np.ndarray, symbol: int, open_ts: int, last: int, *, warmup: bool
) -> np.ndarray:
    event = np.zeros(1, dtype=t.BAR_EVENT)
    row, traded = event[0], params.symbols[symbol]
    move = 0.03 if is_cheap(traded) else 0.006
    opening = max(prices[symbol] * (1 + random.normal() * 0.001), 1)
    close = max(opening * (1 + random.normal() * move), 1)
    row["open"], row["close"] = round(opening), round(close)
    row["high"] = max(row["open"], row["close"]) + int(abs(random.normal()) * move / 2 * opening)
    row["low"] = max(min(row["open"], row["close"]) - int(abs(random.normal()) * move / 2 * opening), 1)
    volume = random.choice([0.0, random.exponential(3.0), random.exponential(300.0)])
    if _is_rich(params):
        volume *= 10.0 ** random.integers(0, 14)
    row["volume"] = volume * (1 if traded["volume_in_quote"] else usual_quantity(traded) // BASE_UNIT)
    row["open_ts"], row["close_ts"] = open_ts, open_ts + MINUTE_NS
    row["symbol"], row["kind"] = symbol, t.EventKind.BAR
    row["flags"] = (t.BarFlag.END_OF_SLICE if symbol == last else 0) | (t.BarFlag.WARMUP if warmup else 0)
    row["flags"] |= t.BarFlag.CATCH_UP if random.random() < 0.03 else 0
    prices[symbol] = close
    return event


def _command(random: Generator, params: Params, prices: np.ndarray, ts: int, newest_id: int) -> np.ndarray:
    n_symbols, n_strategies = len(params.symbols), len(params.strategies)
    kinds = [t.EventKind.ORDER, t.EventKind.SIGNAL, t.EventKind.CANCEL, t.EventKind.HALT, t.EventKind.RESUME]
    kind = random.choice(kinds, p=[0.45, 0.37, 0.08, 0.03, 0.07])
    symbol, strategy = int(random.integers(n_symbols)), int(random.integers(n_strategies))
    if kind == t.EventKind.SIGNAL and strategy > 0 and params.enabled[strategy * n_symbols + symbol]:
        event = np.zeros(1, dtype=t.SIGNAL_EVENT)
        event["strategy"] = strategy
        event["target"], event["strength_ppb"] = random.choice([-1, 0, 1, 1, 1]), int(random.integers(10**9))
        most = 30 * usual_quantity(params.symbols[symbol])
        event["max_quantity"] = random.choice([0, 0, random.integers(1, 10), random.integers(1, most)])
    elif kind in {t.EventKind.ORDER, t.EventKind.SIGNAL}:
        kind = t.EventKind.ORDER
        event = _order(random, params, symbol, strategy, prices[symbol], ts)
    else:
        event = np.zeros(1, dtype=t.CONTROL_EVENT)
        event["order_id"] = max(newest_id - int(random.integers(12)), 1)
        event["reason"] = random.choice([t.HaltReason.MANUAL, t.HaltReason.FEED])
    event["ts"], event["symbol"], event["kind"] = ts, symbol, kind
    return event.view(t.BAR_EVENT)


def _order(random: Generator, params: Params, symbol: int, strategy: int, price: float, ts: int) -> np.ndarray:
    event = np.zeros(1, dtype=t.ORDER_EVENT)
    row = event[0]
    row["strategy"] = strategy
    row["side"] = random.choice([t.Side.BUY, t.Side.BUY, t.Side.BUY, t.Side.SELL])
    row["order_type"] = random.choice([t.OrderType.MARKET, t.OrderType.LIMIT, t.OrderType.LIMIT, t.OrderType.STOP])
    if is_cheap(params.symbols[symbol]) and random.random() < 0.3:
        row["side"], row["order_type"] = t.Side.SELL, t.OrderType.MARKET
    row["time_in_force"] = random.choice([1, 1, 2, 3, 4])
    traded, rich = params.symbols[symbol], _is_rich(params)
    usual = usual_quantity(traded)
    row["quantity"] = int(
        random.choice([0, random.integers(1, 3 * usual), random.integers(1, 300 * usual)], p=[0.03, 0.77, 0.2])
    )
    if rich and random.random() < 0.5:
        row["quantity"] = _large(random)
    if row["order_type"] != t.OrderType.MARKET:
        chosen = int(price * (1 + random.normal() * (0.2 if is_cheap(traded) else 0.005)))
        if rich and random.random() < 0.03:
            chosen = _large(random)
        row["limit_price" if row["order_type"] == t.OrderType.LIMIT else "stop_price"] = chosen
    row["expires_ts"] = ts + int(random.integers(-1, 6)) * MINUTE_NS if row["time_in_force"] == t.TimeInForce.GTD else 0
    row["flags"] = random.choice(
        [0, 0, 0, 0, t.OrderFlag.POST_ONLY, t.OrderFlag.REDUCE_ONLY], p=[0.2, 0.2, 0.2, 0.2, 0.18, 0.02]
    )
    if row["side"] == t.Side.SELL:
        row["flags"] = random.choice([0, t.OrderFlag.REDUCE_ONLY, t.OrderFlag.REDUCE_ONLY])
        if is_cheap(traded) and row["order_type"] == t.OrderType.MARKET:
            row["time_in_force"] = random.choice([t.TimeInForce.GTC, t.TimeInForce.IOC, t.TimeInForce.FOK])
    if row["side"] == t.Side.BUY and random.random() < 0.5:
        farthest = 2 * int(traded["tick"]) if is_cheap(traded) else 4000
        row["stop_distance"] = int(random.integers(0, farthest))
        row["target_distance"] = int(random.choice([0, random.integers(1, farthest)]))
        if rich and random.random() < 0.03:
            row[random.choice(["stop_distance", "target_distance"])] = _large(random)
    return event


def _large(random: Generator) -> int:
    """A number up to 2^62, of any size; now and then the largest that an order may have, or the next one."""
    sizes = [2 ** random.uniform(30, 62), 2 ** random.uniform(56, 60), 2**60 - 1, 2**60]
    return int(random.choice(sizes, p=[0.5, 0.4, 0.05, 0.05]))


def run(params: Params, events: np.ndarray, spare_rows: int = 1 << 14, chunk: int = 0) -> tuple[Machine, np.ndarray]:
    """The machine after the events, and its output records."""
    machine = Machine(params, spare_rows)
    size = chunk or max(len(events), 1)
    parts = [out for at in range(0, len(events), size) for out in machine.advance(events[at : at + size])]
    return machine, np.concatenate(parts) if parts else np.zeros(0, dtype=t.OUT_HEAD)
