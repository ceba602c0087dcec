"""Parses the opening balances on the command line, and derives the account settings from them."""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from paperbot.config import Configuration
from paperbot.errors import CommandError

Tree = dict[str, Any]


def parse_cash(texts: Iterable[str]) -> dict[str, str]:
    """Amount by asset from the `--cash` options. Raises CommandError for one that is not ASSET=AMOUNT."""
    cash = {}
    for text in texts:
        asset, equals, amount = text.partition("=")
        try:
            valid = bool(equals) and asset.isalnum() and Decimal(amount) >= 0
        except InvalidOperation:
            valid = False
        if not valid:
            raise CommandError(f"--cash {text}: expected ASSET=AMOUNT, such as USDT=10000")
        cash[asset.upper()] = amount
    return cash


def account_layer(configuration: Configuration, quotes: set[str], cash: dict[str, str]) -> tuple[Tree, str | None]:
    """The account settings that the command line implies, and a note for the user.

    `--cash` replaces all balances. Without it, a run in a single quote currency that the account does not hold starts
    with that currency's `account.start_cash`. Raises CommandError when there is no such start cash.
    """
    account = configuration.settings.account
    if cash:
        held = {**dict.fromkeys(account.balances, "0"), **cash}
        only = next(iter(quotes)) if len(quotes) == 1 else None
        currency = only if only in cash and only not in configuration.settings.oracle.overrides else account.currency
        return {"account": {"balances": held, "currency": currency}}, None
    if len(quotes) != 1:
        return {}, None
    quote = next(iter(quotes))
    if account.balances.get(quote, Decimal(0)) > 0:
        return {}, None
    if quote not in account.start_cash:
        raise CommandError(f"the account holds no {quote}; add some with --cash {quote}=AMOUNT")
    amount = account.start_cash[quote]
    held = {**dict.fromkeys(account.balances, "0"), quote: str(amount)}
    note = f"the account holds no {quote}: running in {quote} with {amount} {quote} (account.start_cash)"
    return {"account": {"balances": held, "currency": quote}}, note
