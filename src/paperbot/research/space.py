"""The parameter sets of a sweep: what `--vary` says, as a grid or as a random part of it."""

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
"""What may be varied: the rest is no parameter of trading, or changes what the bars are."""

MOST_VALUES = 100_000
MOST_SETS = 100_000
STRATEGY_KEY_PARTS = 3
_LARGEST = 1 << 63
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Axis:
    """One varied key and its values, in the order in which they were given."""

    key: str
    values: tuple[Value, ...]

    @property
    def strategy(self) -> str | None:
        """The strategy whose key it is, if it is one's."""
        parts = self.key.split(".")
        return parts[1] if parts[0] == "strategies" else None


def parse_axis(text: str) -> Axis:
    """`KEY=1,2,5` or `KEY=FROM:TO:STEP`, both ends included. Raises CommandError."""
    key, equals, given = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not given or parts[0] not in ROOTS or not all(parts):
        raise CommandError(
            f"--vary {text}: expected KEY=A,B,C or KEY=FROM:TO:STEP, where the key begins with {', '.join(ROOTS)}"
        )
    if parts[0] == "strategies" and len(parts) < STRATEGY_KEY_PARTS:
        raise CommandError(f"--vary {text}: expected strategies.NAME.KEY, such as strategies.sma_cross.fast=5:50:5")
    if parts[0] == "strategies" and parts[2] == "name":
        raise CommandError(f"--vary {text}: a strategy's name cannot be varied: it changes nothing that is traded")
    if re.fullmatch(r"[-+0-9.eE]+:[-+0-9.eE]*", given) or given.count(":") > 2:  # noqa: PLR2004
        raise CommandError(f"--vary {text}: a range is FROM:TO:STEP, such as 5:50:5")
    values = _range(text, given) if given.count(":") == 2 else _listed(text, given)  # noqa: PLR2004
    if any(isinstance(value, int) and abs(value) >= _LARGEST for value in values):
        raise CommandError(f"--vary {text}: a whole number is below 2^63")
    if len(set(values)) < len(values):
        raise CommandError(f"--vary {text}: a value is there twice")
    return Axis(".".join(parts), values)


def _range(text: str, given: str) -> tuple[Value, ...]:
    try:
        low, high, step = (Decimal(part.strip()) for part in given.split(":"))
    except decimal.InvalidOperation:
        raise CommandError(f"--vary {text}: FROM, TO and STEP are numbers, such as 5:50:5") from None
    if not all(number.is_finite() for number in (low, high, step)) or step <= 0 or high < low:
        raise CommandError(f"--vary {text}: TO is not below FROM, and STEP is above 0")
    if max(abs(low), abs(high)) >= _LARGEST:
        raise CommandError(f"--vary {text}: FROM and TO are below 2^63")
    if (high - low) / MOST_VALUES >= step:
        raise CommandError(f"--vary {text}: that is more than {MOST_VALUES} values")
    count = int((high - low) / step) + 1
    whole = all(number == number.to_integral_value() for number in (low, high, step))
    numbers = [low + step * index for index in range(count)]
    return tuple(int(number) if whole else float(number) for number in numbers)


def _listed(text: str, given: str) -> tuple[Value, ...]:
    try:
        values = [_number_or_word(loads(part)) for part in given.split(",")]
    except YamlError:
        raise CommandError(f"--vary {text}: a value is not YAML") from None
    if not all(
        isinstance(value, int | float | str) and (not isinstance(value, float) or math.isfinite(value))
        for value in values
    ):
        raise CommandError(f"--vary {text}: a value is a number, a word, true or false")
    return tuple(values)


def _number_or_word(value: Any) -> Any:
    """To YAML 1e-2 is a word, as anything in quotes is; to settings, both are numbers."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    return float(value) if any(sign in value for sign in ".eE") else int(value)


@dataclass(frozen=True)
class Space:
    """All sets: the grid of the axes, the last one running fastest; or so many of it, drawn without repetition."""

    axes: tuple[Axis, ...]
    draws: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises CommandError for keys that do not go together, for no key, and for more sets than there may be."""
        keys = [axis.key for axis in self.axes]
        if not keys:
            raise CommandError("nothing is varied: give at least one --vary KEY=VALUES")
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice:
            raise CommandError(f"--vary {twice} is given twice")
        for outer, inner in itertools.permutations(keys, 2):
            if inner.startswith(f"{outer}."):
                raise CommandError(f"--vary {outer}: it holds {inner}, which is varied too")
        if self.count > MOST_SETS:
            raise CommandError(
                f"--vary asks for {self.count:,} sets, and {MOST_SETS:,} is the most: --random draws some"
            )

    @property
    def size(self) -> int:
        """Of the whole grid."""
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def is_drawn(self) -> bool:
        """Whether it is less than the grid."""
        return self.draws is not None and self.draws < self.size

    @property
    def count(self) -> int:
        """How many sets there are."""
        return self.size if self.draws is None else min(self.draws, self.size)

    def sets(self) -> Iterator[tuple[Value, ...]]:
        """The values of each set, in the order of the axes."""
        if not self.is_drawn:
            yield from itertools.product(*(axis.values for axis in self.axes))
            return
        for index in sorted(self._drawn()):
            yield self._at(index)

    def _drawn(self) -> set[int]:
        """Floyd's draw without repetition: it needs no list of the grid, which may be larger than any list."""
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
    """Raises CommandError for an axis of a strategy that there is not, or that `--strategy` leaves out."""
    for axis in axes:
        if axis.strategy is not None and axis.strategy not in known:
            raise CommandError(
                f"--vary strategies.{axis.strategy}: there is no such strategy; there are {', '.join(known)}"
            )
        if axis.strategy is not None and axis.strategy not in chosen:
            raise CommandError(
                f"--vary {axis.key}: --strategy leaves {axis.strategy} out; it keeps {', '.join(chosen)}"
            )


def as_tree(configuration: Configuration, axes: Sequence[Axis], values: Sequence[Value]) -> Tree:
    """The set as settings to lay over the configuration; its strategies exist. Raises CommandError."""
    tree: Tree = {}
    strategies: dict[str, Tree] = {}
    for axis, value in zip(axes, values, strict=True):
        parts = axis.key.split(".")
        if axis.strategy is None:
            _lay(tree, parts, value)
        else:
            _lay(strategies.setdefault(axis.strategy, {}), parts[2:], value)
    if strategies:
        known = [one.model_dump(exclude_unset=True) for one in configuration.settings.strategies]
        tree["strategies"] = [_over(one, strategies.get(one["name"], {}), f"strategies.{one['name']}") for one in known]
    return tree


def _lay(tree: Tree, parts: Sequence[str], value: Any) -> None:
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
    tree[parts[-1]] = value


def _over(tree: Tree, changes: Tree, path: str) -> Tree:
    """The tree with some keys changed, and those of its mappings key by key."""
    merged = dict(tree)
    for key, value in changes.items():
        if not isinstance(value, dict):
            merged[key] = value
            continue
        if not isinstance(merged.get(key, {}), Mapping):
            raise CommandError(f"--vary {path}.{key}.{next(iter(value))}: {path}.{key} is a value, and holds no keys")
        merged[key] = _over(merged.get(key, {}), value, f"{path}.{key}")
    return merged
