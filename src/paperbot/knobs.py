"""Trading conditions of a venue, as frozen models: the keys that a profile, `realism` and `execution` can set.

`Profile` is a file of `config/exchanges/`; `MarketKnobs` holds the keys that every layer can set. `config.py` merges
the layers.
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
    """Parse a duration such as `15s`, `1m`, `4h`, `1d` or `1w` into seconds. Raises ValueError."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS_S or not (number.isascii() and number.isdigit()) or int(number) == 0:
        raise ValueError(f"{text!r} is not a valid duration: expected a whole number and s, m, h, d or w, such as 15m")
    seconds = int(number) * _UNITS_S[unit]
    if seconds > _LONGEST_S:
        raise ValueError(f"{text!r} is longer than a year")
    return seconds


def checked_duration(text: str) -> str:
    """Return the text if it is a valid duration. Raises ValueError otherwise."""
    duration_s(text)
    return text


Duration = Annotated[str, Field(json_schema_extra={"format": "duration"})]


def decimals_of(value: Decimal) -> int:
    """Number of decimal places that a value needs."""
    exponent = value.normalize().as_tuple().exponent
    return max(-int(exponent), 0)


class Frozen(BaseModel):
    """Base of all settings models: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Fees(Frozen):
    """What the venue charges for a fill."""

    maker_bps: Annotated[Decimal, Field(ge=0, le=10_000)] = Field(
        default=Decimal(10), description="fee of a maker's fill, in bps of its value"
    )
    taker_bps: Annotated[Decimal, Field(ge=0, le=10_000)] = Field(
        default=Decimal(10), description="fee of a taker's fill, in bps of its value"
    )
    asset: str = Field(
        default="quote", description="asset that pays the fees: `quote`, `received`, or an asset such as BNB"
    )


class MarketKnobs(Frozen):
    """Trading conditions of one symbol; each layer can set any of these."""

    fees: Fees = Field(default=Fees(), description="maker and taker fees, and the asset that pays them")
    min_notional: NotNegative = Field(default=Decimal(10), description="smallest value of an order, in the quote")
    tick_size: Step = Field(default=Decimal("0.01"), description="order prices are multiples of this, in the quote")
    step_size: Step = Field(
        default=Decimal("0.00001"), description="order quantities are multiples of this, in the base"
    )
    min_quantity: NotNegative = Field(default=Decimal(0), description="smallest quantity of an order, in the base")
    max_quantity: Largest = Field(
        default=Decimal(0), description="largest quantity of an order (LOT_SIZE), in the base; 0: no limit"
    )
    max_market_quantity: Largest = Field(
        default=Decimal(0),
        description="largest quantity of a market or stop order (MARKET_LOT_SIZE), in the base; 0: no limit",
    )
    price_decimals: Annotated[int, Field(ge=0, le=18)] = Field(default=8, description="decimals kept of data prices")
    slippage_bps: Annotated[Decimal, Field(ge=0, lt=10_000)] = Field(
        default=Decimal(2), description="how far a taker's price moves against the trader, in bps"
    )
    slippage_model: Literal["fixed_bps", "atr_scaled"] = Field(
        default="fixed_bps", description="`atr_scaled`: slippage_bps x (ATR / price) x atr_slip_mult"
    )
    slippage_mult: Multiple = Field(default=Decimal(1), description="factor on slippage_bps; set by `realism`")
    atr_slip_mult: Multiple = Field(default=Decimal(500), description="multiplier of `atr_scaled`")
    liquidity_fraction: Annotated[Decimal, Field(gt=0, le=1)] = Field(
        default=Decimal("0.1"), description="share of a bar's volume that all orders of the symbol together may take"
    )
    touch_fills: bool = Field(
        default=False, description="whether a resting limit order fills when the price only touches its limit"
    )
    latency_ms: Count = Field(
        default=0,
        description="an order takes part only in bars that open at least this many milliseconds after it was made",
    )
    volume_unit: Literal["base", "quote"] = Field(default="base", description="asset in which the data states volume")


RULES = (
    *("tick_size", "step_size", "min_notional", "price_decimals"),
    *("min_quantity", "max_quantity", "max_market_quantity"),
)
"""The keys that are instrument rules; the others are fees and execution assumptions."""


class Match(Frozen):
    """The venue and environments that a profile covers."""

    exchange: str = Field(description="name of the venue")
    environment: list[str] = Field(description="environments of the venue that it covers")


class Profile(Frozen):
    """A file of `config/exchanges/`; its market keys are collected in `knobs`."""

    match: Match = Field(description="when the profile applies")
    market: Literal["crypto", "stocks"] = Field(description="label of the equity and kill switch metrics")
    uniform: bool = Field(
        default=False, description="whether its rules hold for every symbol rather than being typical values"
    )
    knobs: dict[str, Any] = Field(default={}, description="market keys for all symbols")
    symbols: dict[str, dict[str, Any]] = Field(default={}, description="market keys by symbol pattern")


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
"""The execution assumptions of each `realism` preset. A profile or the user's configuration can override them."""
