"""Notifies about a session: fills, entries and exits, halts, and a summary of each day."""

from typing import Any

import numpy as np

from paperbot.core import types as t
from paperbot.events import Events, Records
from paperbot.names import Names
from paperbot.store.statistics import RoundTrips
from paperbot.telemetry import lines
from paperbot.telemetry.notify import Notifier

_REPORTED = [t.OutputKind.FILL, t.OutputKind.HALT, t.OutputKind.LEDGER]


class News:
    """A watcher that passes messages to a notifier, which sends the kinds listed in `notify.on`."""

    def __init__(self, notifier: Notifier, names: Names) -> None:
        self._notifier, self._names = notifier, names
        self._trips = RoundTrips(names)
        self._day = -1
        self._equity = self._before = 0
        self._trades = self._won = 0

    def catch_up(self, records: Records) -> None:
        """Take in records from before a restart without sending messages about them."""
        self._process(records, is_new=False)

    def events(self, events: Events) -> None:
        """Ignored: messages are about output records."""

    def records(self, records: Records) -> None:
        """Send messages about new output records."""
        self._process(records, is_new=True)

    def _process(self, records: Records, *, is_new: bool) -> None:
        for record in records[np.isin(records["kind"], _REPORTED)]:
            row = record.reshape(1)
            if record["kind"] == t.OutputKind.FILL:
                news = self._of_fill(row.view(t.OUT_FILL))
            elif record["kind"] == t.OutputKind.HALT:
                fields = lines.halt(row.view(t.OUT_HALT)[0], self._names)
                news = [("halt", "trading is halted: {reason}, equity {equity:.2f}".format(**fields))]
            else:
                news = self._of_row(row.view(t.OUT_LEDGER)[0])
            for kind, text in news if is_new else []:
                self._notifier.tell(kind, text)

    def _of_fill(self, fill: Records) -> list[tuple[str, str]]:
        row, names = fill[0], self._names
        fields = lines.fill(row, names)
        news = [("fill", "{side} {qty} {symbol} at {price} ({strategy})".format(**fields))]
        step, before = names.steps[int(row["symbol"])], int(row["position"]) - int(row["quantity"])
        if row["side"] == t.Side.BUY and before < step:
            news.append(("entry", "entered {symbol}: {qty} at {price} ({strategy})".format(**fields)))
        for trip in self._trips.add(fill):
            pnl = int(trip["realized"]) - int(trip["fees"])
            self._trades += 1
            self._won += pnl > 0
            amount = names.quote_amount(pnl, int(trip["symbol"]))
            share = f" ({100 * pnl / int(trip['paid']):+.2f} %)" if trip["paid"] else ""
            quote = names.assets[names.quotes[int(trip["symbol"])]]
            minutes = (int(trip["exit_ts"]) - int(trip["entry_ts"])) / 60e9
            is_stop = trip["role"] == t.Role.STOP
            way = "stopped out of" if is_stop else "left"
            text = f"{way} {fields['symbol']}: {amount:+,.2f} {quote}{share} after {minutes:,.0f} minutes"
            news.append(("stop" if is_stop else "exit", f"{text} ({fields['strategy']})"))
        return news

    def _of_row(self, row: np.void) -> list[tuple[str, str]]:
        """The messages of a ledger row. A day ends with a row at midnight, or with the first row of a later day."""
        if not row["valued"]:
            return []
        ts, equity = int(row["ts"]), int(row["equity"])
        is_opening = self._day == -1
        day = int(ts // t.DAY_NS) if is_opening else int((ts - 1) // t.DAY_NS)
        news = []
        if day > self._day and not is_opening and self._before:
            news.append(self._daily())
        if is_opening or day > self._day:
            self._before = equity if is_opening else self._equity
            self._day = day
        self._equity = equity
        if ts % t.DAY_NS == 0 and not is_opening and self._before:
            news.append(self._daily())
            self._before = 0  # The day's summary has been sent.
        return news

    def _daily(self) -> tuple[str, str]:
        unit, change = self._names.account_unit(), self._equity - self._before
        date = np.datetime64(self._day, "D")
        money = f"{change / unit:+,.2f} {self._names.currency} ({100 * change / self._before:+.2f} %)"
        trades: Any = f"{self._trades} trades, {self._won} won"
        self._trades = self._won = 0
        return "daily", f"{date}: {money}, equity {self._equity / unit:,.2f}; {trades}"
