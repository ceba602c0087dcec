"""How a venue trades, as frozen models: the keys that a profile, `realism` and `execution` may set for a symbol.

`Profile` is a file of `config/exchanges/`; `MarketKnobs` is what all layers can set. How they are put together
stands in `config.py`.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_LONGEST_S = 366 * 86_400
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

Share = Annotated[Decimal, Field(ge=0, le=1)]
Positive = Annotated[Decimal, Field(gt=0, le=10**12)]
Step = Annotated[Decimal, Field(gt=0, le=10**12, decimal_places=18)]
NotNegative = Annotated[Decimal, Field(ge=0, le=10**12)]
Largest = Annotated[Decimal, Field(ge=0, le=10**18)]
Multiple = Annotated[Decimal, Field(ge=0, le=10**6)]
Count = Annotated[int, Field(ge=0, le=10**6)]
DEFAULT_DECIMALS = 8


def duration_s(text: str) -> int:
    """Seconds of `15s`, `1m`, `4h`, `1d`, `1w`. Raises ValueError for anything else."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS_S or not (number.isascii() and number.isdigit()) or int(number) == 0:
        raise ValueError(f"{text!r} is no duration: a whole number and one of s, m, h, d, w, such as 15m")
    seconds = int(number) * _UNITS_S[unit]
    if seconds > _LONGEST_S:
        raise ValueError(f"{text!r} is longer than a year")
    return seconds


def checked_duration(text: str) -> str:
    """The text, if it is a duration. Raises ValueError."""
    duration_s(text)
    return text


Duration = Annotated[str, Field(json_schema_extra={"format": "duration"})]


def decimals_of(value: Decimal) -> int:
    """Digits behind the point that a value needs."""
    exponent = value.normalize().as_tuple().exponent
    return max(-int(exponent), 0)


class Frozen(BaseModel):
    """Immutable, and closed: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Fees(Frozen):
    """What the venue charges for a fill."""

    maker_bps: Annotated[Decimal, Field(ge=0, le=10_000)] = Field(
        default=Decimal(10), description="fee of a resting order's fill, in 1/10,000 of its value"
    )
    taker_bps: Annotated[Decimal, Field(ge=0, le=10_000)] = Field(
        default=Decimal(10), description="fee of any other fill, in 1/10,000 of its value"
    )
    asset: str = Field(
        default="quote", description="what fees are paid in: `quote`, `received`, or the name of an asset, such as BNB"
    )


class MarketKnobs(Frozen):
    """How one symbol trades; each layer may set any of these."""

    fees: Fees = Field(default=Fees(), description="maker and taker fee, and what they are paid in")
    min_notional: NotNegative = Field(default=Decimal(10), description="smallest value of an order, in the quote")
    tick_size: Step = Field(default=Decimal("0.01"), description="order prices are multiples of it, in the quote")
    step_size: Step = Field(default=Decimal("0.00001"), description="quantities are multiples of it, in the base")
    min_quantity: NotNegative = Field(default=Decimal(0), description="smallest quantity of an order, in the base")
    max_quantity: Largest = Field(
        default=Decimal(0), description="largest quantity of an order (LOT_SIZE), in the base; 0: none"
    )
    max_market_quantity: Largest = Field(
        default=Decimal(0), description="the same for market and stop orders (MARKET_LOT_SIZE)"
    )
    price_decimals: Annotated[int, Field(ge=0, le=18)] = Field(
        default=8, description="decimals that data prices are kept with"
    )
    slippage_bps: Annotated[Decimal, Field(ge=0, lt=10_000)] = Field(
        default=Decimal(2), description="how far a taker's price moves against it, in 1/10,000"
    )
    slippage_model: Literal["fixed_bps", "atr_scaled"] = Field(
        default="fixed_bps", description="`atr_scaled`: slippage_bps x (ATR / price) x atr_slip_mult"
    )
    slippage_mult: Multiple = Field(
        default=Decimal(1), description="what slippage_bps is multiplied with; see `realism`"
    )
    atr_slip_mult: Multiple = Field(default=Decimal(500), description="multiplier of `atr_scaled`")
    liquidity_fraction: Annotated[Decimal, Field(gt=0, le=1)] = Field(
        default=Decimal("0.1"), description="share of a bar's volume that all orders together may take"
    )
    touch_fills: bool = Field(default=False, description="whether a resting limit fills on a touch of its price")
    latency_ms: Count = Field(
        default=0, description="an order takes part in bars that open at least so many milliseconds after it was made"
    )
    volume_unit: Literal["base", "quote"] = Field(default="base", description="what the data's volume counts")


RULES = (
    *("tick_size", "step_size", "min_notional", "price_decimals"),
    *("min_quantity", "max_quantity", "max_market_quantity"),
)
"""The keys that are facts about an instrument; the others are assumptions or fees."""


class Match(Frozen):
    """What a profile is for."""

    exchange: str = Field(description="name of the venue")
    environment: list[str] = Field(description="the venue's worlds that it covers")


class Profile(Frozen):
    """A file of `config/exchanges/`, apart from its market knobs."""

    match: Match = Field(description="when the profile applies")
    market: Literal["crypto", "stocks"] = Field(description="label of equity and kill switch; 365 or 252 days a year")
    uniform: bool = Field(
        default=False, description="whether its rules are those of every symbol, not only typical ones"
    )
    knobs: dict[str, Any] = Field(default={}, description="keys of the market that hold for every symbol")
    symbols: dict[str, dict[str, Any]] = Field(default={}, description="keys for symbols by pattern")


REALISM: dict[str, dict[str, Any]] = {
    "optimistic": {"touch_fills": True, "liquidity_fraction": "1", "slippage_mult": "0", "latency_ms": 0},
    "realistic": {"touch_fills": False, "liquidity_fraction": "0.1", "slippage_mult": "1", "latency_ms": 0},
    "pessimistic": {
        "touch_fills": False,
        "liquidity_fraction": "0.02",
        "slippage_mult": "3",
        "latency_ms": 500,
    },
}
"""The assumptions behind each name of `realism`. A profile or the user's configuration may still override them."""
