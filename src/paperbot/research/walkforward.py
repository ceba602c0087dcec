"""Splits the time of a sweep's bars into training and test windows (walk-forward)."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from paperbot.clock import parse_time
from paperbot.errors import CommandError, DataError
from paperbot.research.trials import AllBars, Span


@dataclass(frozen=True)
class Walk:
    """How to split the bars. `start`, `end`: the window, as typed; `train`: the share of each fold's time that is for
    training; `anchored`: all training windows begin at the first bar.
    """

    start: str | None
    end: str | None
    folds: int
    train: float
    anchored: bool


def spans_of(walk: Walk, bars: AllBars) -> list[Span]:
    """The whole window without folds, else each fold's training and test window. Raises DataError or CommandError.

    All test windows have the same length, and the last one ends with the bars; time left over at the beginning belongs
    to the first training window. Test windows begin where bars of all timeframes begin, so that no bar of a training
    window closes after that.
    """
    start = parse_time(walk.start, "--start")
    stop = parse_time(walk.end, "--end")
    inside = []
    for events, timeframe_ns in zip(bars.by_symbol, bars.timeframes_ns, strict=True):
        ts = events["open_ts"]
        ts = ts[np.searchsorted(ts, start or 0) : len(ts) if stop is None else np.searchsorted(ts, stop)]
        if len(ts):
            inside.append((int(ts[0]), int(ts[-1]) + timeframe_ns, timeframe_ns))
    if not inside:
        raise DataError("no bar lies between --start and --end")
    if walk.folds == 0:
        return [Span(start, stop)]
    first, last = min(first for first, _, _ in inside), max(last for _, last, _ in inside)
    share, grid = Fraction(str(walk.train)), math.lcm(*bars.timeframes_ns)
    test = int((last - first) * (1 - share) / (walk.folds * (1 - share) + share)) // grid * grid
    train = int(test * share / (1 - share)) // grid * grid
    if test == 0 or train == 0:
        raise CommandError(f"there are too few bars for {walk.folds} folds")
    longest = max(inside, key=lambda span: span[2])
    last += (longest[0] - last) % grid
    spans = []
    for fold in range(walk.folds):
        split = last - (walk.folds - fold) * test
        begin = start if fold == 0 or walk.anchored else split - train
        straddled = bars.straddled(split)
        spans.append(Span(begin, split if straddled is None else straddled))
        spans.append(Span(split, stop if fold == walk.folds - 1 else split + test))
    return spans
