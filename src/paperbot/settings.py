"""The configuration as frozen models: each key with its meaning, unit and default.

`Settings` is `config/config.yaml`; the keys of a symbol are in `knobs.py`. `config.py` merges the layers.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from paperbot.knobs import (
    Count,
    Duration,
    Frozen,
    Multiple,
    NotNegative,
    Positive,
    Share,
    checked_duration,
)


class AccountSettings(Frozen):
    """The account's currency and opening balances."""

    currency: str = Field(default="USD", description="currency of equity, profit and loss")
    balances: dict[str, NotNegative] = Field(
        default={"USDT": Decimal(10_000)}, description="opening balance of each asset, in whole units"
    )
    start_cash: dict[str, Positive] = Field(
        default={
            **dict.fromkeys(("USD", "USDT", "USDC", "BUSD", "FDUSD", "TUSD", "EUR"), Decimal(10_000)),
            "BTC": Decimal(1),
            "ETH": Decimal(20),
        },
        description="opening balance of a replay whose quote currency is not in `balances`, in whole units",
    )
    decimals: dict[str, Annotated[int, Field(ge=0, le=12)]] = Field(
        default={}, description="decimals kept of an asset's balance, if not 8"
    )


class OracleSettings(Frozen):
    """Prices that are not in the market data."""

    overrides: dict[str, Positive] = Field(
        default=dict.fromkeys(("USDT", "USDC", "BUSD", "FDUSD", "TUSD"), Decimal(1)),
        description="fixed value of one unit of an asset, in USD",
    )


PatternName = Literal["engulfing_bullish", "engulfing_bearish", "hammer", "shooting_star", "doji"]


class FeatureSettings(Frozen):
    """Feature windows, in bars, and the features that are always computed."""

    rsi: Annotated[int, Field(ge=2, le=1000)] = Field(default=14, description="bars of the relative strength index")
    atr: Annotated[int, Field(ge=1, le=1000)] = Field(default=14, description="bars of the average true range")
    zscore: Annotated[int, Field(ge=2, le=10_000)] = Field(default=50, description="bars of the z-score's deviation")
    volatility: Annotated[int, Field(ge=2, le=10_000)] = Field(default=30, description="returns of realized volatility")
    always: list[Literal["rsi", "atr", "vwap", "zscore", "volatility"]] = Field(
        default=[], description="features to compute even if no strategy uses them"
    )
    patterns: list[PatternName] = Field(
        default=[], description="candlestick patterns to report even if no strategy uses them"
    )


class StrategyBase(Frozen):
    """Settings that all strategies have."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", description="its name in logs, tables and metrics")
    symbols: list[str] = Field(default=["*"], description="patterns of the symbols it trades")


class MeanReversion(StrategyBase):
    """Buys when the price is far below the session's VWAP and sells when it is back near it."""

    kind: Literal["mean_reversion"]
    enter: Annotated[float, Field(lt=0, ge=-100)] = Field(default=-1.6, description="long at this z-score or below")
    leave: Annotated[float, Field(ge=-100, le=100)] = Field(default=-0.3, description="flat at this z-score or above")

    @model_validator(mode="after")
    def _ordered(self) -> "MeanReversion":
        if self.leave <= self.enter:
            raise ValueError(f"leave ({self.leave}) must be above enter ({self.enter})")
        return self


class SmaCross(StrategyBase):
    """Holds a long position while the fast simple moving average is above the slow one."""

    kind: Literal["sma_cross"]
    fast: Annotated[int, Field(ge=1, le=10_000)] = Field(default=20, description="bars of the fast average")
    slow: Annotated[int, Field(ge=2, le=10_000)] = Field(default=50, description="bars of the slow average")

    @model_validator(mode="after")
    def _ordered(self) -> "SmaCross":
        if self.slow <= self.fast:
            raise ValueError(f"slow ({self.slow}) must be above fast ({self.fast})")
        return self


class Momentum(StrategyBase):
    """Holds a long position while the RSI is high and the price is above its trend."""

    kind: Literal["momentum"]
    enter: Annotated[float, Field(ge=0, le=100)] = Field(default=55.0, description="long at this RSI or above")
    leave: Annotated[float, Field(ge=0, le=100)] = Field(default=45.0, description="flat at this RSI or below")
    trend: Annotated[int, Field(ge=2, le=10_000)] = Field(default=50, description="bars of the trend's EMA")

    @model_validator(mode="after")
    def _ordered(self) -> "Momentum":
        if self.leave >= self.enter:
            raise ValueError(f"leave ({self.leave}) must be below enter ({self.enter})")
        return self


class PatternFollower(StrategyBase):
    """Goes long on bullish candlestick patterns and flat on bearish ones."""

    kind: Literal["pattern"]
    enter: list[PatternName] = Field(default=["engulfing_bullish", "hammer"], description="patterns to go long on")
    leave: list[PatternName] = Field(
        default=["engulfing_bearish", "shooting_star"],
        description="patterns to go flat on; they take precedence over `enter`",
    )


class UserStrategy(StrategyBase):
    """A strategy in your own file; see `docs/strategies.md`."""

    kind: Literal["user"] = "user"
    path: Path = Field(description="the file, relative to the working directory")
    params: dict[str, float] = Field(default={}, description="values that replace the file's PARAMS")


ADVISOR = "llm"
"""Name of the advisor's strategy; its signals are accepted advice."""


class External(StrategyBase):
    """Decides nothing itself: its targets and orders come from outside, for example from the user."""

    kind: Literal["external"]


def _kind(tree: Any) -> str:
    """The kind of a strategy: `user` if it has a path, otherwise its `kind`."""
    if isinstance(tree, dict):
        return "user" if "path" in tree else str(tree.get("kind", "none"))
    return str(getattr(tree, "kind", "none"))


Strategy = Annotated[
    Annotated[MeanReversion, Tag("mean_reversion")]
    | Annotated[SmaCross, Tag("sma_cross")]
    | Annotated[Momentum, Tag("momentum")]
    | Annotated[PatternFollower, Tag("pattern")]
    | Annotated[UserStrategy, Tag("user")]
    | Annotated[External, Tag("external")],
    Discriminator(
        _kind,
        custom_error_type="strategy_kind",
        custom_error_message=(
            "kind must be mean_reversion, sma_cross, momentum, pattern or external, or path must be set"
        ),
    ),
]


class RiskSettings(Frozen):
    """Sizing of entries, and the limits that the gate enforces. A limit of 0 is off."""

    sizing: Literal["atr", "fixed_quote", "fixed_fraction"] = Field(default="atr", description="how entries are sized")
    risk_frac: Annotated[Decimal, Field(gt=0, le=1)] = Field(
        default=Decimal("0.01"), description="`atr`: share of equity lost if the stop is hit"
    )
    atr_stop_mult: Annotated[Decimal, Field(gt=0, le=10**6)] = Field(
        default=Decimal(2), description="distance of the protective stop, in ATRs"
    )
    attach_stop: bool = Field(default=True, description="whether entries by signal get a protective stop")
    take_profit_atr_mult: Multiple = Field(
        default=Decimal(0), description="distance of the protective target (take-profit), in ATRs; 0: none"
    )
    fixed_quote: Positive = Field(default=Decimal(100), description="`fixed_quote`: value of an entry, in the quote")
    fixed_fraction: Annotated[Decimal, Field(gt=0, le=1)] = Field(
        default=Decimal("0.1"), description="`fixed_fraction`: value of an entry, as a share of equity"
    )
    max_position_value_per_symbol: Multiple = Field(
        default=Decimal("0.25"), description="largest value held in one symbol, as a share of equity"
    )
    max_gross_exposure: Multiple = Field(
        default=Decimal(1), description="largest total of positions, as a share of equity"
    )
    max_open_positions: Count = Field(default=20, description="most positions (of a strategy in a symbol) at a time")
    max_open_orders: Count = Field(default=50, description="most open entries at a time")
    price_collar: Multiple = Field(
        default=Decimal("0.2"), description="largest |price / last close - 1| of a limit or stop price"
    )
    max_orders_per_minute: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=60, description="most orders that pass the gate in 60 s of event time; exits do not count"
    )
    cooldown_bars: Count = Field(default=5, description="bars without a new entry after a filled stop")
    stale_after_bars: Count = Field(
        default=3, description="bars after which a symbol's last close is too old to trade on"
    )
    entry_timeout_bars: Count = Field(default=10, description="bars after which an unfilled entry ends")
    funds_margin: Multiple = Field(
        default=Decimal("0.01"), description="extra amount that a buy locks, as a share of its value at the last close"
    )
    daily_loss_cap: Share = Field(default=Decimal("0.05"), description="loss of the UTC day that trips the kill switch")
    max_drawdown: Share = Field(default=Decimal("0.2"), description="drawdown from the peak that trips the kill switch")
    flatten_on_trip: bool = Field(default=False, description="whether a trip of the kill switch sells all positions")


class LedgerSettings(Frozen):
    """How often ledger rows are written when nothing happens."""

    every: Duration = Field(default="1h", description="event time between ledger rows")

    _every = field_validator("every")(checked_duration)


class FeedSettings(Frozen):
    """The source of live bars, and when a bar is late or absent."""

    market_data: Literal["testnet", "mainnet"] = Field(
        default="testnet",
        description="source of live bars; `mainnet`: the venue's public hosts, no key needed, real prices",
    )
    rest_url: str = Field(
        default="", description="REST base URL in place of the venue's, such as that of `paperbot venue serve`"
    )
    ws_url: str = Field(default="", description="base URL of the streams instead of the venue's")
    clock: Literal["system", "venue"] = Field(
        default="system", description="clock that stamps commands and advice: this machine's or the venue's"
    )
    bar_grace_ms: Annotated[int, Field(ge=0, le=600_000)] = Field(
        default=2_000, description="milliseconds after its close before a bar is requested by REST"
    )
    max_wait_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=300.0, description="seconds that a bar may be overdue before the session halts (`feed`); 0: no limit"
    )
    filters: Literal["profile", "venue"] = Field(
        default="venue",
        description="source of tick, step and limits; `venue`: ask the venue and keep the answer for replays",
    )
    catch_up: Literal["full", "manage_only"] = Field(
        default="full", description="how to run slices missed while down; `manage_only`: without new entries"
    )
    catch_up_max: Duration = Field(
        default="7d", description="after a longer downtime, the session halts and starts at the present"
    )

    _durations = field_validator("catch_up_max")(checked_duration)


class RunSettings(Frozen):
    """How long a session runs, and how often it writes files and snapshots."""

    duration_s: Annotated[float, Field(ge=0, le=86_400 * 3650)] = Field(
        default=0.0, description="seconds after which the session stops; 0: it runs until stopped"
    )
    artifacts_every_s: Annotated[float, Field(gt=0, le=86_400)] = Field(
        default=60.0, description="seconds between updates of the Parquet files"
    )
    snapshot_every: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=240, description="slices between snapshots; a recovery runs at most this many again"
    )


Message = Literal[
    "session_start", "session_stop", "recovery", "stale_feed", "halt", "fill", "entry", "exit", "stop", "daily"
]


class NotifySettings(Frozen):
    """Notifications through apprise. Off until the environment variable holds a URL."""

    urls_env: str = Field(
        default="PAPERBOT_NOTIFY_URLS",
        pattern=r"^[A-Z][A-Z0-9_]*$",
        description="environment variable with apprise URLs, separated by spaces",
    )
    on: list[Message] = Field(
        default=["session_start", "session_stop", "recovery", "stale_feed", "halt", "entry", "exit", "stop", "daily"],
        description="events that send a message; `exit` and `stop` include the profit",
    )
    max_per_minute: Annotated[int, Field(ge=1, le=600)] = Field(default=20, description="further messages are dropped")


class DemoSettings(Frozen):
    """The market of the offline demo."""

    seed: Annotated[int, Field(ge=0, le=10**9)] = Field(default=156, description="seed of the synthetic market")
    bars: Annotated[int, Field(ge=10, le=100_000)] = Field(default=180, description="length of the demo, in bars")
    answers: Path = Field(
        default=Path("config/llm/demo.jsonl"),
        description="the advisor's recorded answers",
    )


class LlmSettings(Frozen):
    """The advisor and the limits on its advice. It can only propose; the guards and the gate decide."""

    provider: Literal["off", "openai"] = Field(
        default="off", description="`openai`: any endpoint with OpenAI's chat completions API"
    )
    base_url: str = Field(default="https://api.openai.com/v1", description="address of the endpoint")
    model: str = Field(default="gpt-4o-mini", description="name of the model")
    credential_env: str = Field(
        default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$", description="environment variable that holds the key"
    )
    prompt: Path = Field(default=Path("prompts/advise-v1.md"), description="prompt file; its stem is the prompt's id")
    every: Duration = Field(default="30m", description="event time between questions")
    timeout_s: Annotated[float, Field(gt=0, le=600)] = Field(default=20.0, description="seconds to wait for an answer")
    symbols: list[str] = Field(default=["*"], description="patterns of the symbols that advice may concern")
    min_confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.6, description="less confident advice is denied"
    )
    max_notional_usd: Positive = Field(default=Decimal(1000), description="largest value of a proposal, in USD")
    price_tolerance: Multiple = Field(
        default=Decimal("0.02"), description="largest |price in the advice / last close - 1|"
    )
    max_age: Duration = Field(default="5m", description="advice based on older market data is stale")
    max_questions_per_hour: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=12, description="most questions in an hour of event time; further ones are not asked"
    )
    max_tokens_per_day: Annotated[int, Field(ge=1, le=10**9)] = Field(
        default=200_000, description="most tokens (prompt and answer) in a UTC day of event time"
    )
    max_answer_chars: Annotated[int, Field(ge=100, le=10**6)] = Field(
        default=4000, description="characters in the longest answer that is read; a longer one is denied"
    )

    _durations = field_validator("every", "max_age")(checked_duration)


class CapacitySettings(Frozen):
    """Sizes that are fixed for a run."""

    open_orders: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=256, description="most open orders, protective orders included; exits by signal have their own room"
    )


class Settings(Frozen):
    """All settings of `config/config.yaml`."""

    exchange: str = Field(default="binance", description="venue; with `environment` it selects the profile")
    environment: str = Field(default="spot-testnet", description="environment of the venue, such as `spot-testnet`")
    timeframe: Duration = Field(default="1m", description="length of a bar in the demo and live")
    symbols: list[str] = Field(default=["BTC/USDT", "ETH/USDT"], description="symbols of the demo and live: BASE/QUOTE")
    realism: Literal["optimistic", "realistic", "pessimistic"] = Field(
        default="realistic", description="preset of execution assumptions, which the profile can override"
    )
    account: AccountSettings = Field(default=AccountSettings(), description="currency and opening balances")
    oracle: OracleSettings = Field(default=OracleSettings(), description="prices that are not in the market data")
    features: FeatureSettings = Field(default=FeatureSettings(), description="windows of the features")
    strategies: list[Strategy] = Field(
        default=[
            MeanReversion(name="mean_reversion", kind="mean_reversion"),
            SmaCross(name="sma_cross", kind="sma_cross"),
        ],
        description="strategies, in the order in which they decide within a symbol",
    )
    risk: RiskSettings = Field(default=RiskSettings(), description="sizing and limits")
    execution: dict[str, Any] = Field(
        default={}, description="profile keys (fees, rules, slippage, `symbols`) to override for your account"
    )
    feed: FeedSettings = Field(default=FeedSettings(), description="live bars")
    run: RunSettings = Field(default=RunSettings(), description="live session")
    notify: NotifySettings = Field(default=NotifySettings(), description="notifications")
    llm: LlmSettings = Field(default=LlmSettings(), description="the advisor and its guards")
    demo: DemoSettings = Field(default=DemoSettings(), description="the offline demo")
    ledger: LedgerSettings = Field(default=LedgerSettings(), description="ledger rows")
    capacities: CapacitySettings = Field(default=CapacitySettings(), description="sizes that are fixed for a run")

    _timeframe = field_validator("timeframe")(checked_duration)

    @field_validator("strategies")
    @classmethod
    def _names_differ(cls, strategies: list[StrategyBase]) -> list[StrategyBase]:
        names = [strategy.name for strategy in strategies]
        duplicate = next((name for name in names if names.count(name) > 1), None)
        if duplicate is not None:
            raise ValueError(f"two strategies are named {duplicate}; names must differ")
        if any(strategy.name == ADVISOR and not isinstance(strategy, External) for strategy in strategies):
            raise ValueError(f"the name {ADVISOR} is reserved for the advisor and strategies of kind external")
        return strategies
