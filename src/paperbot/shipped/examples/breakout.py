"""A compiled strategy: buy a close above the highest high of the last bars, leave below their lowest low."""

from paperbot.strategy import FLAT, HOLD, LONG, compiled

FEATURES = ["atr(14)"]
PARAMS = {"bars": 20.0, "quiet": 0.02}
MEMORY = 128  # 0: bars seen; then a ring of highs and, from 64 on, one of lows


@compiled
def on_bar(ts, bar, features, params, memory, held, target):
    window = int(params[0])
    seen = int(memory[0])
    answer = HOLD
    if seen >= window:
        highest = memory[1]
        lowest = memory[64]
        for k in range(1, window):
            highest = max(highest, memory[1 + k])
            lowest = min(lowest, memory[64 + k])
        calm = features[0] / bar[3] < params[1]
        if bar[3] > highest and calm:
            answer = LONG
        elif bar[3] < lowest:
            answer = FLAT
    memory[1 + seen % window] = bar[1]
    memory[64 + seen % window] = bar[2]
    memory[0] = seen + 1
    return answer
