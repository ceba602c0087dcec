"""Money: booking fills, valuing the account, and writing ledger rows.

- Each fill posts balanced entries: what leaves an asset's `free + locked` enters `venue` or `fees`, and vice versa.
- Everything is computed and checked before anything is assigned: a fill that cannot be booked changes nothing.
- `docs/fills.md` §6 states the rules; the identities there hold after every event.
"""

from paperbot.core.numeric import DOWN, EVEN, LIMIT, OVERFLOW, UP, kernel, mul_div, ppb
from paperbot.core.oracle import convert, floats, notional, position_value, priced, to_account
from paperbot.core.orders import is_flat, position_index
from paperbot.core.outputs import emit
from paperbot.core.types import (
    NOBODY,
    PPB,
    Code,
    Fault,
    FeeAsset,
    IdleState,
    Liquidity,
    OutputKind,
    Record,
    Side,
    World,
)


@kernel
def fee_rate(params: Record, liquidity: int) -> int:
    """The fee rate of a fill, in parts per 10^9 of its value."""
    return params["maker_ppb"] if liquidity == Liquidity.MAKER else params["taker_ppb"]


@kernel
def payable(w: World, order: Record, quantity: int, price: int, liquidity: int) -> bool:
    """Whether a buy's lock and the free balance cover the quantity, and the fee if it is paid in the quote."""
    params = w.symbol_params[order["symbol"]]
    cost = notional(w, order["symbol"], quantity, price, EVEN)
    if cost == OVERFLOW:
        return False
    if params["fee_asset"] == FeeAsset.QUOTE or params["fee_asset"] == params["quote"]:
        fee = ppb(cost, fee_rate(params, liquidity), UP)
        if fee == OVERFLOW:
            return False
        cost += fee
    return cost <= order["locked"] + w.assets[params["quote"]]["free"]


@kernel
def largest_payable(w: World, order: Record, quantity: int, price: int, liquidity: int) -> int:
    """The largest quantity in whole steps, up to `quantity`, that a buy's funds cover."""
    if payable(w, order, quantity, price, liquidity):
        return quantity
    step = w.symbol_params[order["symbol"]]["step"]
    low = 0
    high = quantity // step
    while high - low > 1:
        middle = (low + high) // 2
        if payable(w, order, middle * step, price, liquidity):
            low = middle
        else:
            high = middle
    return low * step


@kernel
def _fee_payer(  # noqa: C901
    w: World, order: Record, fee_quote: int, spare_quote: int, received: int
) -> tuple[int, int, bool]:
    """Choose the first asset that can pay the whole fee; returns (asset, amount, whether the position pays).

    Tries the configured asset, the account currency and the asset received; the asset is NOBODY if none can pay.
    `spare_quote`: quote left after the trade itself; `received`: the position's quantity after a buy.
    """
    params = w.symbol_params[order["symbol"]]
    buy = order["side"] == Side.BUY
    arrives = params["base"] if buy else params["quote"]
    first = params["fee_asset"]
    if first == FeeAsset.QUOTE:
        first = params["quote"]
    elif first == FeeAsset.RECEIVED:
        first = arrives
    for attempt in range(3):
        asset = first
        if attempt == 1:
            asset = w.risk["account_asset"]
        elif attempt == 2:
            asset = arrives
        if asset != params["quote"] and not (priced(w, params["quote"]) and priced(w, asset)):
            continue
        amount = convert(w, params["quote"], asset, fee_quote, UP)
        if amount == OVERFLOW:
            continue
        # The account currency pays from its free balance, even if it is the base that a buy receives.
        from_position = buy and asset == params["base"] and attempt != 1
        available = w.assets[asset]["free"]
        if from_position:
            available = received
        elif asset == params["quote"]:
            available = spare_quote
        if amount <= available:
            return asset, amount, from_position
    return NOBODY, 0, False


@kernel
def _take_quote(order: Record, quote: Record, amount: int) -> None:
    """Spend a buy's lock first, then the free balance."""
    from_lock = min(amount, order["locked"])
    order["locked"] -= from_lock
    quote["locked"] -= from_lock
    quote["free"] -= amount - from_lock


@kernel
def _book_buy(w: World, order: Record, position: Record, quantity: int, cost: int) -> None:
    params = w.symbol_params[order["symbol"]]
    quote = w.assets[params["quote"]]
    base = w.assets[params["base"]]
    _take_quote(order, quote, cost)
    quote["venue"] -= cost
    base["locked"] += quantity
    base["held"] += quantity
    base["venue"] += quantity
    position["quantity"] += quantity
    position["cost"] += cost
    position["dust"] = 0
    position["exit_due"] = 0


@kernel
def _book_sell(w: World, order: Record, position: Record, quantity: int, proceeds: int, cost_taken: int) -> None:
    params = w.symbol_params[order["symbol"]]
    quote = w.assets[params["quote"]]
    base = w.assets[params["base"]]
    base["locked"] -= quantity
    base["held"] -= quantity
    base["venue"] -= quantity
    quote["locked"] += proceeds
    quote["arriving"] += proceeds
    w.account["arrivals"] = 1
    quote["venue"] += proceeds
    position["quantity"] -= quantity
    position["cost"] -= cost_taken


@kernel
def _share_of_cost(cost: int, quantity: int, held: int) -> int:
    """The part of a position's cost that belongs to `quantity` of the `held` quantity."""
    return mul_div(cost, quantity, held, EVEN) if quantity < held else cost


@kernel
def _book_fee(
    w: World, order: Record, position: Record, asset: int, amount: int, from_position: bool,  # noqa: FBT001
    proceeds: int, cost: int,
) -> None:
    """Charge the fee. `cost`: reduction of the position's cost if the position pays the fee."""
    payer = w.assets[asset]
    payer["fees"] += amount
    if from_position:
        position["quantity"] -= amount
        position["cost"] -= cost
        payer["locked"] -= amount
        payer["held"] -= amount
    elif asset != w.symbol_params[order["symbol"]]["quote"]:
        payer["free"] -= amount
    elif order["side"] == Side.BUY:
        _take_quote(order, payer, amount)
    else:
        from_proceeds = min(amount, proceeds)
        payer["arriving"] -= from_proceeds
        payer["locked"] -= from_proceeds
        payer["free"] -= amount - from_proceeds


@kernel
def _emit_fill(w: World, bar: Record, order: Record, position: Record) -> Record:
    """Emit a FILL record with the state of order and position after the fill; the caller adds price and fee."""
    at = emit(w, OutputKind.FILL, bar["close_ts"], order["symbol"], order["strategy"], Code.NONE)
    out = w.out_fill[at]
    out["order_id"] = order["id"]
    out["parent"] = order["parent"]
    out["position"] = position["quantity"]
    out["cost"] = position["cost"]
    out["remaining"] = order["quantity"] - order["filled"]
    out["atr"] = w.symbols[order["symbol"]]["atr"]
    out["side"] = order["side"]
    out["role"] = order["role"]
    out["open_ts"] = bar["open_ts"]
    return out


@kernel
def post_fill(  # noqa: PLR0915
    w: World, bar: Record, slot: int, quantity: int, price: int, reference: int, liquidity: int
) -> bool:
    """Book a fill and report it. Returns False, with nothing changed, if a number would leave its range."""
    order = w.orders[slot]
    symbol = order["symbol"]
    params = w.symbol_params[symbol]
    position = w.positions[position_index(w, order)]
    buy = order["side"] == Side.BUY
    quote = w.assets[params["quote"]]
    base = w.assets[params["base"]]
    money = notional(w, symbol, quantity, price, EVEN if buy else DOWN)
    if money == OVERFLOW or not priced(w, params["quote"]):
        return False
    fee_quote = ppb(money, fee_rate(params, liquidity), UP)
    fee_account = to_account(w, params["quote"], fee_quote, UP)
    if fee_quote == OVERFLOW or fee_account == OVERFLOW:
        return False
    spare = quote["free"] + (order["locked"] - money if buy else money)
    asset, fee, from_position = _fee_payer(w, order, fee_quote, spare, position["quantity"] + quantity)
    incoming = base["free"] + base["locked"] + quantity if buy else quote["free"] + quote["locked"] + money
    if asset == NOBODY or incoming >= LIMIT or position["cost"] + money >= LIMIT:
        return False
    fee_cost, cost_taken, realized = 0, 0, 0
    if not buy:
        cost_taken = _share_of_cost(position["cost"], quantity, position["quantity"])
        realized = money - cost_taken
    if from_position:
        fee_cost = _share_of_cost(position["cost"] + money, fee, position["quantity"] + quantity)
        realized += fee_quote - fee_cost
    realized_account = to_account(w, params["quote"], realized, EVEN)
    if realized_account == OVERFLOW:
        return False
    had_any = position["quantity"] > 0
    if buy:
        _book_buy(w, order, position, quantity, money)
    else:
        _book_sell(w, order, position, quantity, money, cost_taken)
    _book_fee(w, order, position, asset, fee, from_position, money, fee_cost)
    if from_position or asset == params["quote"]:
        position["fees"] += fee_quote
    position["realized"] += realized
    order["filled"] += quantity
    account = w.account
    account["realized"] += realized_account
    account["fees"] += fee_account
    account["row_due"] = 1
    account["idle_state"] = IdleState.CHANGED
    account["holdings"] += (1 if position["quantity"] > 0 else 0) - (1 if had_any else 0)
    out = _emit_fill(w, bar, order, position)
    out["quantity"] = quantity
    out["price"] = price
    out["reference"] = reference
    out["notional"] = money
    out["fee_quote"] = fee_quote
    out["fee"] = fee
    out["fee_asset"] = asset
    out["fee_account"] = fee_account
    out["realized"] = realized
    out["realized_account"] = realized_account
    out["liquidity"] = liquidity
    return True


@kernel(inline=True)
def settle(w: World) -> None:
    """Free what arrived in the slice; called at its end."""
    if w.account["arrivals"] == 0:
        return
    w.account["arrivals"] = 0
    for asset in range(len(w.assets)):
        record = w.assets[asset]
        if record["arriving"] != 0:
            record["free"] += record["arriving"]
            record["locked"] -= record["arriving"]
            record["arriving"] = 0


@kernel
def stop_run(w: World, fault: int, symbol: int, strategy: int) -> None:
    """Mark the run as failed. The loop stops after this event, and the host raises an error with the reason."""
    market = w.market
    if market["fault"] == Fault.NONE:
        market["fault"] = fault
        market["fault_symbol"] = symbol
        market["fault_strategy"] = strategy


@kernel
def _value_idle_assets(w: World) -> None:
    """Value all balances outside positions, and set `idle_state`: how long that value stays valid."""
    account = w.account
    account["idle_value"] = 0
    account["idle_state"] = IdleState.FIXED
    for asset in range(len(w.assets)):
        record = w.assets[asset]
        idle = record["free"] + record["locked"] - record["held"]
        if idle == 0:
            continue
        if not priced(w, asset):
            account["idle_state"] = IdleState.UNPRICED
            return
        value = to_account(w, asset, idle, EVEN)
        if value == OVERFLOW or account["idle_value"] + value >= LIMIT:
            stop_run(w, Fault.OVERFLOW, NOBODY, NOBODY)
            return
        account["idle_value"] += value
        if floats(w, asset):
            account["idle_state"] = IdleState.FLOATING


@kernel
def _value_positions(w: World) -> bool:
    """Compute gross and unrealized from all positions. Returns False, changing neither, if one has no price."""
    account = w.account
    n_symbols = w.risk["n_symbols"]
    gross = 0
    unrealized = 0
    for strategy in range(w.risk["n_strategies"]):
        for symbol in range(n_symbols):
            position = w.positions[strategy * n_symbols + symbol]
            if position["quantity"] == 0:
                continue
            quote = w.symbol_params[symbol]["quote"]
            if not priced(w, quote):
                return False
            value = position_value(w, position, symbol)
            in_account = to_account(w, quote, value, EVEN)
            gain = to_account(w, quote, value - position["cost"], EVEN)
            if value == OVERFLOW or in_account == OVERFLOW or gain == OVERFLOW or gross + in_account >= LIMIT:
                stop_run(w, Fault.OVERFLOW, symbol, strategy)
                return False
            gross += in_account
            unrealized += gain
    account["gross"] = gross
    account["unrealized"] = unrealized
    return True


@kernel(inline=True)
def revalue(w: World) -> None:
    """Compute equity, gross and unrealized at the latest closes. `valued` becomes 0 if a price is missing."""
    account = w.account
    if account["idle_state"] != IdleState.FIXED:
        _value_idle_assets(w)
    complete = account["idle_state"] != IdleState.UNPRICED
    if account["holdings"] == 0:
        account["gross"] = 0
        account["unrealized"] = 0
    else:
        complete = _value_positions(w) and complete
    if not complete:
        account["valued"] = 0
        return
    if account["idle_value"] + account["gross"] >= LIMIT:
        stop_run(w, Fault.OVERFLOW, NOBODY, NOBODY)
    account["valued"] = 1
    account["equity"] = account["idle_value"] + account["gross"]


@kernel
def open_positions(w: World) -> int:
    """Number of positions that are not flat."""
    count = 0
    n_symbols = w.risk["n_symbols"]
    for strategy in range(w.risk["n_strategies"]):
        for symbol in range(n_symbols):
            if not is_flat(w, strategy * n_symbols + symbol, symbol):
                count += 1
    return count


@kernel
def write_row(w: World, ts: int, code: int) -> None:
    """Write a ledger row with the figures of the last valuation and the running sums."""
    account = w.account
    account["last_row_ts"] = ts
    out = w.out_ledger[emit(w, OutputKind.LEDGER, ts, NOBODY, NOBODY, code)]
    out["realized"] = account["realized"]
    out["fees"] = account["fees"]
    out["open_positions"] = open_positions(w)
    out["open_orders"] = account["open_orders"]
    out["valued"] = account["valued"]
    if account["valued"] == 0:
        return
    out["equity"] = account["equity"]
    out["peak"] = account["peak"]
    out["drawdown_ppb"] = drawdown_ppb(account)
    out["unrealized"] = account["unrealized"]
    out["fx_revaluation"] = (
        account["equity"] - account["start_equity"] - account["realized"] - account["unrealized"] + account["fees"]
    )
    out["gross"] = account["gross"]
    out["day_reference"] = account["day_reference"]


@kernel
def drawdown_ppb(account: Record) -> int:
    """The drawdown from the peak, in parts per 10^9."""
    if account["peak"] <= 0:
        return 0
    return mul_div(account["peak"] - account["equity"], PPB, account["peak"], EVEN)
