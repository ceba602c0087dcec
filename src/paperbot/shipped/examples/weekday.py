"""A Python strategy: free to use anything that Python has; here, long above the mean, and never over the weekend."""

from datetime import UTC, datetime

from paperbot.strategy import FLAT, HOLD, LONG, Bar

FEATURES = ["sma(50)", "rsi(14)"]
PARAMS = {"rsi": 55.0}
FRIDAY = 4


class Strategy:
    def __init__(self, params: dict[str, float]) -> None:
        self.rsi = params["rsi"]

    def on_bar(self, bar: Bar) -> float:
        mean, rsi = bar.features
        day = datetime.fromtimestamp(bar.close_ts / 1e9, UTC).weekday()
        if day >= FRIDAY or bar.close < mean:
            return FLAT
        return LONG if rsi >= self.rsi else HOLD
