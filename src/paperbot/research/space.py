"""The parameter sets of a sweep: the grid of its `--vary` options, or a random part of it."""

import decimal
import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from paperbot.config import Configuration
from paperbot.errors import CommandError
from paperbot.yaml12 import YamlError, loads

Tree = dict[str, Any]
Value = int | float | bool | str

ROOTS = ("strategies", "risk", "execution", "features", "realism")
"""The sections that can be varied. The others do not affect trading, or define the bars."""

MOST_VALUES = 100_000
MOST_SETS = 100_000
STRATEGY_KEY_PARTS = 3
_LARGEST = 1 << 63
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Axis:
    """One varied key and its values, in the given order."""

    key: str
    values: tuple[Value, ...]

    @property
    def strategy(self) -> str | None:
        """The strategy that the key belongs to, or None."""
        parts = self.key.split(".")
        return parts[1] if parts[0] == "strategies" else None


def parse_axis(text: str) -> Axis:
    """Parse `KEY=1,2,5` or `KEY=FROM:TO:STEP`, both ends included. Raises CommandError."""
    key, equals, listing = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not listing or parts[0] not in ROOTS or not all(parts):
        raise CommandError(
            f"--vary {text}: expected KEY=A,B,C or KEY=FROM:TO:STEP, where the key begins with {', '.join(ROOTS)}"
        )
    if parts[0] == "strategies" and len(parts) < STRATEGY_KEY_PARTS:
        raise CommandError(f"--vary {text}: expected strategies.NAME.KEY, such as strategies.sma_cross.fast=5:50:5")
    if parts[0] == "strategies" and parts[2] == "name":
        raise CommandError(f"--vary {text}: a strategy's name cannot be varied: it does not affect trading")
    if re.fullmatch(r"[-+0-9.eE]+:[-+0-9.eE]*", listing) or listing.count(":") > 2:  # noqa: PLR2004
        raise CommandError(f"--vary {text}: expected a range FROM:TO:STEP, such as 5:50:5")
    values = _range(text, listing) if listing.count(":") == 2 else _listed(text, listing)  # noqa: PLR2004
    if any(isinstance(value, int) and abs(value) >= _LARGEST for value in values):
        raise CommandError(f"--vary {text}: a whole number must be below 2^63")
    if len(set(values)) < len(values):
        raise CommandError(f"--vary {text}: a value is given twice")
    return Axis(".".join(parts), values)


def _range(text: str, listing: str) -> tuple[Value, ...]:
    try:
        low, high, step = (Decimal(part.strip()) for part in listing.split(":"))
    except decimal.InvalidOperation:
        raise CommandError(f"--vary {text}: FROM, TO and STEP must be numbers, such as 5:50:5") from None
    if not all(number.is_finite() for number in (low, high, step)) or step <= 0 or high < low:
        raise CommandError(f"--vary {text}: TO must not be below FROM, and STEP must be above 0")
    if max(abs(low), abs(high)) >= _LARGEST:
        raise CommandError(f"--vary {text}: FROM and TO must be below 2^63")
    if (high - low) / MOST_VALUES >= step:
        raise CommandError(f"--vary {text}: the range has more than {MOST_VALUES:,} values")
    count = int((high - low) / step) + 1
    whole = all(number == number.to_integral_value() for number in (low, high, step))
    numbers = [low + step * index for index in range(count)]
    return tuple(int(number) if whole else float(number) for number in numbers)


def _listed(text: str, listing: str) -> tuple[Value, ...]:
    try:
        values = [_number_or_word(loads(part)) for part in listing.split(",")]
    except YamlError:
        raise CommandError(f"--vary {text}: a value is not valid YAML") from None
    if not all(
        isinstance(value, int | float | str) and (not isinstance(value, float) or math.isfinite(value))
        for value in values
    ):
        raise CommandError(f"--vary {text}: a value must be a number, a word, true or false")
    return tuple(values)


def _number_or_word(value: Any) -> Any:
    """Convert words such as 1e-2 or '5' to numbers, because settings accept both as numbers."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    return float(value) if any(sign in value for sign in ".eE") else int(value)


@dataclass(frozen=True)
class Space:
    """The sets of a sweep: the grid of the axes, whose last one varies fastest, or `draws` different sets of it."""

    axes: tuple[Axis, ...]
    draws: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises CommandError for conflicting keys, for no key, and for more than `MOST_SETS` sets."""
        keys = [axis.key for axis in self.axes]
        if not keys:
            raise CommandError("nothing is varied: give at least one --vary KEY=VALUES")
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice:
            raise CommandError(f"--vary {twice} is given twice")
        for outer, inner in itertools.permutations(keys, 2):
            if inner.startswith(f"{outer}."):
                raise CommandError(f"--vary {outer}: it contains {inner}, which is also varied")
        if self.count > MOST_SETS:
            raise CommandError(
                f"--vary asks for {self.count:,} sets, but at most {MOST_SETS:,} are allowed; draw some with --random"
            )

    @property
    def size(self) -> int:
        """The number of sets in the whole grid."""
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def is_drawn(self) -> bool:
        """Whether only a part of the grid is drawn."""
        return self.draws is not None and self.draws < self.size

    @property
    def count(self) -> int:
        """The number of sets to run."""
        return self.size if self.draws is None else min(self.draws, self.size)

    def sets(self) -> Iterator[tuple[Value, ...]]:
        """The values of each set, in the order of the axes."""
        if not self.is_drawn:
            yield from itertools.product(*(axis.values for axis in self.axes))
            return
        for index in sorted(self._drawn()):
            yield self._at(index)

    def _drawn(self) -> set[int]:
        """Draw indices without repetition (Floyd's algorithm), without a list of the grid, which may be huge."""
        source = random.Random(self.seed)  # noqa: S311
        drawn: set[int] = set()
        for last in range(self.size - self.count, self.size):
            index = source.randrange(last + 1)
            drawn.add(last if index in drawn else index)
        return drawn

    def _at(self, index: int) -> tuple[Value, ...]:
        values: list[Value] = []
        for axis in reversed(self.axes):
            index, place = divmod(index, len(axis.values))
            values.append(axis.values[place])
        return tuple(reversed(values))


def check_strategies(axes: Sequence[Axis], known: Sequence[str], chosen: Sequence[str]) -> None:
    """Raises CommandError for an axis of a strategy that does not exist or that `--strategy` excludes."""
    for axis in axes:
        if axis.strategy is not None and axis.strategy not in known:
            raise CommandError(
                f"--vary strategies.{axis.strategy}: no such strategy; expected one of {', '.join(known)}"
            )
        if axis.strategy is not None and axis.strategy not in chosen:
            raise CommandError(
                f"--vary {axis.key}: --strategy excludes {axis.strategy}; it keeps {', '.join(chosen)}"
            )


def as_tree(configuration: Configuration, axes: Sequence[Axis], values: Sequence[Value]) -> Tree:
    """The set as a tree of settings that overrides the configuration. Raises CommandError."""
    tree: Tree = {}
    strategies: dict[str, Tree] = {}
    for axis, value in zip(axes, values, strict=True):
        parts = axis.key.split(".")
        if axis.strategy is None:
            _put(tree, parts, value)
        else:
            _put(strategies.setdefault(axis.strategy, {}), parts[2:], value)
    if strategies:
        configured = [item.model_dump(exclude_unset=True) for item in configuration.settings.strategies]
        tree["strategies"] = [
            _merged(item, strategies.get(item["name"], {}), f"strategies.{item['name']}") for item in configured
        ]
    return tree


def _put(tree: Tree, parts: Sequence[str], value: Any) -> None:
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
    tree[parts[-1]] = value


def _merged(tree: Tree, changes: Tree, path: str) -> Tree:
    """The tree with `changes` merged in, mappings key by key. Raises CommandError where a value is not a mapping."""
    merged = dict(tree)
    for key, value in changes.items():
        if not isinstance(value, dict):
            merged[key] = value
            continue
        if not isinstance(merged.get(key, {}), Mapping):
            raise CommandError(f"--vary {path}.{key}.{next(iter(value))}: {path}.{key} is a value and has no keys")
        merged[key] = _merged(merged.get(key, {}), value, f"{path}.{key}")
    return merged
