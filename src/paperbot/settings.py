"""The configuration as frozen models: each key with its meaning, unit and default.

`Settings` is `config/config.yaml`; what may be set for a symbol is in `knobs.py`. How the layers are put
together stands in `config.py`.
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
    """Whose money it is."""

    currency: str = Field(default="USD", description="equity, profit and loss are reported in it")
    balances: dict[str, NotNegative] = Field(
        default={"USDT": Decimal(10_000)}, description="opening balance of each asset, in whole units"
    )
    start_cash: dict[str, Positive] = Field(
        default={
            **dict.fromkeys(("USD", "USDT", "USDC", "BUSD", "FDUSD", "TUSD", "EUR"), Decimal(10_000)),
            "BTC": Decimal(1),
            "ETH": Decimal(20),
        },
        description="balance of a replay in a quote currency that `balances` does not hold, in whole units",
    )
    decimals: dict[str, Annotated[int, Field(ge=0, le=12)]] = Field(
        default={}, description="decimals that an asset's balance is kept with, where not 8"
    )


class OracleSettings(Frozen):
    """Prices that the market data does not give."""

    overrides: dict[str, Positive] = Field(
        default=dict.fromkeys(("USDT", "USDC", "BUSD", "FDUSD", "TUSD"), Decimal(1)),
        description="fixed value of one unit of an asset, in USD",
    )


PatternName = Literal["engulfing_bullish", "engulfing_bearish", "hammer", "shooting_star", "doji"]


class FeatureSettings(Frozen):
    """Windows, in bars, and which features are always computed."""

    rsi: Annotated[int, Field(ge=2, le=1000)] = Field(default=14, description="bars of the relative strength index")
    atr: Annotated[int, Field(ge=1, le=1000)] = Field(default=14, description="bars of the average true range")
    zscore: Annotated[int, Field(ge=2, le=10_000)] = Field(default=50, description="bars of the z-score's deviation")
    volatility: Annotated[int, Field(ge=2, le=10_000)] = Field(default=30, description="returns of realized volatility")
    always: list[Literal["rsi", "atr", "vwap", "zscore", "volatility"]] = Field(
        default=[], description="features to compute even if no strategy reads them"
    )
    patterns: list[PatternName] = Field(
        default=[], description="candlestick patterns to report even if no strategy reads them"
    )


class StrategyBase(Frozen):
    """What every strategy has."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", description="its name in logs, tables and metrics")
    symbols: list[str] = Field(default=["*"], description="patterns of the symbols that it trades")


class MeanReversion(StrategyBase):
    """Buys far below the session's VWAP and leaves near it."""

    kind: Literal["mean_reversion"]
    enter: Annotated[float, Field(lt=0, ge=-100)] = Field(default=-1.6, description="long at this z-score or below")
    leave: Annotated[float, Field(ge=-100, le=100)] = Field(default=-0.3, description="flat at this z-score or above")

    @model_validator(mode="after")
    def _ordered(self) -> "MeanReversion":
        if self.leave <= self.enter:
            raise ValueError(f"leave ({self.leave}) must be above enter ({self.enter})")
        return self


class SmaCross(StrategyBase):
    """Long while the fast simple moving average is above the slow one."""

    kind: Literal["sma_cross"]
    fast: Annotated[int, Field(ge=1, le=10_000)] = Field(default=20, description="bars of the fast average")
    slow: Annotated[int, Field(ge=2, le=10_000)] = Field(default=50, description="bars of the slow average")

    @model_validator(mode="after")
    def _ordered(self) -> "SmaCross":
        if self.slow <= self.fast:
            raise ValueError(f"slow ({self.slow}) must be above fast ({self.fast})")
        return self


class Momentum(StrategyBase):
    """Long while the RSI is high and the price above its trend."""

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
    """Long on bullish candlestick patterns, flat on bearish ones."""

    kind: Literal["pattern"]
    enter: list[PatternName] = Field(default=["engulfing_bullish", "hammer"], description="patterns to go long on")
    leave: list[PatternName] = Field(
        default=["engulfing_bearish", "shooting_star"],
        description="patterns to go flat on; they win over entering ones",
    )


class UserStrategy(StrategyBase):
    """A strategy in a file of your own; see `docs/strategies.md`."""

    kind: Literal["user"] = "user"
    path: Path = Field(description="the file, relative to the working directory")
    params: dict[str, float] = Field(default={}, description="numbers in place of the file's PARAMS")


ADVISOR = "llm"
"""Name of the strategy whose signals are accepted advice."""


class External(StrategyBase):
    """Decides nothing itself: its orders and targets come from outside, a user's own among them."""

    kind: Literal["external"]


def _kind(tree: Any) -> str:
    """A strategy with a path is a user's own; the others say their kind."""
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
            "kind must be mean_reversion, sma_cross, momentum, pattern or external, or there must be a path"
        ),
    ),
]


class RiskSettings(Frozen):
    """What the gate allows. A cap of 0 is off."""

    sizing: Literal["atr", "fixed_quote", "fixed_fraction"] = Field(default="atr", description="how entries are sized")
    risk_frac: Annotated[Decimal, Field(gt=0, le=1)] = Field(
        default=Decimal("0.01"), description="`atr`: share of equity that is lost when the stop is hit"
    )
    atr_stop_mult: Annotated[Decimal, Field(gt=0, le=10**6)] = Field(
        default=Decimal(2), description="distance of the protective stop, in ATRs"
    )
    attach_stop: bool = Field(default=True, description="whether entries by signal carry a protective stop")
    take_profit_atr_mult: Multiple = Field(
        default=Decimal(0), description="distance of the take-profit, in ATRs; 0: none"
    )
    fixed_quote: Positive = Field(default=Decimal(100), description="`fixed_quote`: value of an entry, in the quote")
    fixed_fraction: Annotated[Decimal, Field(gt=0, le=1)] = Field(
        default=Decimal("0.1"), description="`fixed_fraction`: share of equity of an entry"
    )
    max_position_value_per_symbol: Multiple = Field(
        default=Decimal("0.25"), description="value held in one symbol, as a share of equity"
    )
    max_gross_exposure: Multiple = Field(default=Decimal(1), description="value of all positions, as a share of equity")
    max_open_positions: Count = Field(default=20, description="positions (strategy and symbol) at a time")
    max_open_orders: Count = Field(default=50, description="working entries at a time")
    price_collar: Multiple = Field(
        default=Decimal("0.2"), description="largest |price / last close - 1| of a limit or stop price"
    )
    max_orders_per_minute: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=60, description="orders that pass the gate in 60 s of event time, exits not counted"
    )
    cooldown_bars: Count = Field(default=5, description="bars without entry after a strategy's stop in a symbol")
    stale_after_bars: Count = Field(
        default=3, description="bars after which a symbol's last close is too old to trade on"
    )
    entry_timeout_bars: Count = Field(default=10, description="bars after which an unfilled entry is given up")
    funds_margin: Multiple = Field(
        default=Decimal("0.01"), description="what a buy locks beyond its value at the last close, as a share"
    )
    daily_loss_cap: Share = Field(default=Decimal("0.05"), description="loss of the UTC day that trips the kill switch")
    max_drawdown: Share = Field(default=Decimal("0.2"), description="drawdown from the peak that trips the kill switch")
    flatten_on_trip: bool = Field(default=False, description="whether a trip of the kill switch sells all positions")


class LedgerSettings(Frozen):
    """How often the ledger speaks when nothing happens."""

    every: Duration = Field(default="1h", description="event time between two rows")

    _every = field_validator("every")(checked_duration)


class FeedSettings(Frozen):
    """Where live bars come from, and when they count."""

    market_data: Literal["testnet", "mainnet"] = Field(
        default="testnet",
        description="`mainnet`: the venue's public hosts, no key needed; a testnet's prices are no market",
    )
    rest_url: str = Field(default="", description="base URL in place of the venue's, such as a `paperbot venue serve`")
    ws_url: str = Field(default="", description="the same for its streams")
    clock: Literal["system", "venue"] = Field(
        default="system", description="whose time commands and advice carry: the machine's, or the venue's"
    )
    bar_grace_ms: Annotated[int, Field(ge=0, le=600_000)] = Field(
        default=2_000, description="after its close a bar is asked for by REST, and then proven final or absent"
    )
    max_wait_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        default=300.0, description="overdue for longer, the session halts (`feed`); 0: never"
    )
    filters: Literal["profile", "venue"] = Field(
        default="venue",
        description="`venue`: tick, step and limits as the venue says, kept for replays; `profile`: the profile's",
    )
    catch_up: Literal["full", "manage_only"] = Field(
        default="full", description="slices missed while down: run like any others, or without entries"
    )
    catch_up_max: Duration = Field(
        default="7d", description="down for longer, the session halts and starts at the present"
    )

    _durations = field_validator("catch_up_max")(checked_duration)


class RunSettings(Frozen):
    """How long a session runs, and how often it tidies up."""

    duration_s: Annotated[float, Field(ge=0, le=86_400 * 3650)] = Field(
        default=0.0, description="seconds until it stops by itself; 0: until it is stopped"
    )
    artifacts_every_s: Annotated[float, Field(gt=0, le=86_400)] = Field(
        default=60.0, description="seconds between two writings of the Parquet files"
    )
    snapshot_every: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=240, description="slices between two snapshots: what a recovery has to run again at most"
    )


Message = Literal[
    "session_start", "session_stop", "recovery", "stale_feed", "halt", "fill", "entry", "exit", "stop", "daily"
]


class NotifySettings(Frozen):
    """Messages to people, through apprise. Off until the variable holds an address."""

    urls_env: str = Field(
        default="PAPERBOT_NOTIFY_URLS",
        pattern=r"^[A-Z][A-Z0-9_]*$",
        description="environment variable with apprise URLs, separated by spaces",
    )
    on: list[Message] = Field(
        default=["session_start", "session_stop", "recovery", "stale_feed", "halt", "entry", "exit", "stop", "daily"],
        description="what is worth a message: each kind that is not listed is off; `exit` and `stop` tell the profit",
    )
    max_per_minute: Annotated[int, Field(ge=1, le=600)] = Field(default=20, description="further ones are dropped")


class DemoSettings(Frozen):
    """The market of the offline demo."""

    seed: Annotated[int, Field(ge=0, le=10**9)] = Field(default=156, description="which made-up market it is")
    bars: Annotated[int, Field(ge=10, le=100_000)] = Field(default=180, description="its length, in bars a symbol")
    answers: Path = Field(
        default=Path("config/llm/demo.jsonl"), description="the advisor's recorded answers: the demo is offline"
    )


class LlmSettings(Frozen):
    """The advisor, and what its advice may not exceed. It can only propose; the guards and the gate decide."""

    provider: Literal["off", "openai"] = Field(
        default="off", description="`openai`: any endpoint that speaks OpenAI's chat completions"
    )
    base_url: str = Field(default="https://api.openai.com/v1", description="address of the endpoint")
    model: str = Field(default="gpt-4o-mini", description="model that is asked")
    credential_env: str = Field(
        default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$", description="environment variable that holds the key"
    )
    prompt: Path = Field(default=Path("prompts/advise-v1.md"), description="file of the prompt; its stem is its id")
    every: Duration = Field(default="30m", description="event time between two questions")
    timeout_s: Annotated[float, Field(gt=0, le=600)] = Field(default=20.0, description="longest wait for an answer")
    symbols: list[str] = Field(default=["*"], description="patterns of the symbols that advice may be about")
    min_confidence: Annotated[float, Field(ge=0, le=1)] = Field(default=0.6, description="advice below it is denied")
    max_notional_usd: Positive = Field(default=Decimal(1000), description="largest value of one advice, in USD")
    price_tolerance: Multiple = Field(
        default=Decimal("0.02"), description="largest |price that the advice names / last close - 1|"
    )
    max_age: Duration = Field(default="5m", description="advice on an older view of the market is stale")
    max_questions_per_hour: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=12, description="questions in an hour of event time; further ones are not asked"
    )
    max_tokens_per_day: Annotated[int, Field(ge=1, le=10**9)] = Field(
        default=200_000, description="tokens, prompt and answer, in a UTC day of event time"
    )
    max_answer_chars: Annotated[int, Field(ge=100, le=10**6)] = Field(
        default=4000, description="a longer answer is denied unread"
    )

    _durations = field_validator("every", "max_age")(checked_duration)


class CapacitySettings(Frozen):
    """Sizes that are fixed for a run."""

    open_orders: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=256, description="open orders, protective ones included; strategies' exits have room of their own"
    )


class Settings(Frozen):
    """`config/config.yaml`."""

    exchange: str = Field(
        default="binance", description="venue whose rules apply; with `environment` it picks the profile"
    )
    environment: str = Field(default="spot-testnet", description="which of the venue's worlds")
    timeframe: Duration = Field(default="1m", description="length of a bar in demo and live")
    symbols: list[str] = Field(default=["BTC/USDT", "ETH/USDT"], description="what demo and live trade: BASE/QUOTE")
    realism: Literal["optimistic", "realistic", "pessimistic"] = Field(
        default="realistic", description="which assumptions about fills the profile starts from"
    )
    account: AccountSettings = Field(default=AccountSettings(), description="currency and opening balances")
    oracle: OracleSettings = Field(default=OracleSettings(), description="prices that the data does not give")
    features: FeatureSettings = Field(default=FeatureSettings(), description="windows of the features")
    strategies: list[Strategy] = Field(
        default=[
            MeanReversion(name="mean_reversion", kind="mean_reversion"),
            SmaCross(name="sma_cross", kind="sma_cross"),
        ],
        description="strategies, in the order in which they act within a symbol",
    )
    risk: RiskSettings = Field(default=RiskSettings(), description="what the gate allows")
    execution: dict[str, Any] = Field(
        default={}, description="keys of a profile (fees, filters, slippage, `symbols`) to set for your account"
    )
    feed: FeedSettings = Field(default=FeedSettings(), description="live bars")
    run: RunSettings = Field(default=RunSettings(), description="the live session")
    notify: NotifySettings = Field(default=NotifySettings(), description="messages to people")
    llm: LlmSettings = Field(default=LlmSettings(), description="the advisor and its guards")
    demo: DemoSettings = Field(default=DemoSettings(), description="the offline demo")
    ledger: LedgerSettings = Field(default=LedgerSettings(), description="cadence of the ledger")
    capacities: CapacitySettings = Field(default=CapacitySettings(), description="sizes that are fixed for a run")

    _timeframe = field_validator("timeframe")(checked_duration)

    @field_validator("strategies")
    @classmethod
    def _names_differ(cls, strategies: list[StrategyBase]) -> list[StrategyBase]:
        names = [strategy.name for strategy in strategies]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two strategies are named {twice}")
        taken = next((one for one in strategies if one.name == ADVISOR and not isinstance(one, External)), None)
        if taken is not None:
            raise ValueError(f"the name {ADVISOR} is the advisor's; only a strategy of kind external may have it")
        return strategies
