"""The parameter sets of a sweep: what `--vary` says, as a grid or as a random part of it."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

from paperbot.config import Configuration
from paperbot.errors import CommandError

Tree = dict[str, Any]
Value = int | float | bool | str

ROOTS = ("strategies", "risk", "execution", "features", "realism")
"""What may be varied: the rest is no parameter of trading, or changes what the bars are."""

MOST_VALUES = 100_000
STRATEGY_KEY_PARTS = 3


@dataclass(frozen=True)
class Axis:
    """One varied key and its values, in the order in which they were given."""

    key: str
    values: tuple[Value, ...]


def parse_axis(text: str) -> Axis:
    """`KEY=1,2,5` or `KEY=FROM:TO:STEP`, both ends included. Raises CommandError."""
    key, equals, given = text.partition("=")
    key = key.strip()
    if not equals or not given or key.split(".")[0] not in ROOTS:
        raise CommandError(
            f"--vary {text}: expected KEY=A,B,C or KEY=FROM:TO:STEP, where the key begins with {', '.join(ROOTS)}"
        )
    parts = key.split(".")
    if parts[0] == "strategies" and len(parts) < STRATEGY_KEY_PARTS:
        raise CommandError(f"--vary {text}: expected strategies.NAME.KEY, such as strategies.sma_cross.fast=5:50:5")
    values = _range(text, given) if given.count(":") == 2 else _listed(text, given)  # noqa: PLR2004
    if len(set(values)) < len(values):
        raise CommandError(f"--vary {text}: a value is there twice")
    return Axis(key, values)


def _range(text: str, given: str) -> tuple[Value, ...]:
    try:
        low, high, step = (Decimal(part.strip()) for part in given.split(":"))
    except InvalidOperation:
        raise CommandError(f"--vary {text}: FROM, TO and STEP are numbers, such as 5:50:5") from None
    if not all(number.is_finite() for number in (low, high, step)) or step <= 0 or high < low:
        raise CommandError(f"--vary {text}: TO is not below FROM, and STEP is above 0")
    count = int((high - low) / step) + 1
    if count > MOST_VALUES:
        raise CommandError(f"--vary {text}: that is more than {MOST_VALUES} values")
    whole = all(number == number.to_integral_value() for number in (low, high, step))
    numbers = [low + step * index for index in range(count)]
    return tuple(int(number) if whole else float(number) for number in numbers)


def _listed(text: str, given: str) -> tuple[Value, ...]:
    try:
        values = [yaml.safe_load(part) for part in given.split(",")]
    except yaml.YAMLError:
        raise CommandError(f"--vary {text}: a value is not YAML") from None
    if not all(
        isinstance(value, int | float | str) and (isinstance(value, str) or math.isfinite(value)) for value in values
    ):
        raise CommandError(f"--vary {text}: a value is a number, a word, true or false")
    return tuple(values)


@dataclass(frozen=True)
class Space:
    """All sets: the grid of the axes, the last one running fastest; or so many of it, drawn without repetition."""

    axes: tuple[Axis, ...]
    draws: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises CommandError for a key that is varied twice, or for no key."""
        keys = [axis.key for axis in self.axes]
        if not keys:
            raise CommandError("nothing is varied: give at least one --vary KEY=VALUES")
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice:
            raise CommandError(f"--vary {twice} is given twice")

    @property
    def size(self) -> int:
        """Of the whole grid."""
        return math.prod(len(axis.values) for axis in self.axes)

    def sets(self) -> Iterator[tuple[Value, ...]]:
        """The values of each set, in the order of the axes."""
        if self.draws is None or self.draws >= self.size:
            yield from itertools.product(*(axis.values for axis in self.axes))
            return
        for index in sorted(random.Random(self.seed).sample(range(self.size), self.draws)):  # noqa: S311
            yield self._at(index)

    def _at(self, index: int) -> tuple[Value, ...]:
        values: list[Value] = []
        for axis in reversed(self.axes):
            index, place = divmod(index, len(axis.values))
            values.append(axis.values[place])
        return tuple(reversed(values))


def as_tree(configuration: Configuration, axes: Sequence[Axis], values: Sequence[Value]) -> Tree:
    """The set as settings to lay over the configuration. Raises CommandError for a strategy that there is not."""
    tree: Tree = {}
    strategies: dict[str, Tree] = {}
    for axis, value in zip(axes, values, strict=True):
        parts = axis.key.split(".")
        if parts[0] == "strategies":
            _lay(strategies.setdefault(parts[1], {}), parts[2:], value)
        else:
            _lay(tree, parts, value)
    if strategies:
        tree["strategies"] = _varied(configuration, strategies)
    return tree


def _lay(tree: Tree, parts: Sequence[str], value: Any) -> None:
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
    tree[parts[-1]] = value


def _varied(configuration: Configuration, changes: dict[str, Tree]) -> list[Tree]:
    """The configured strategies with some keys changed; keys of `params` are laid into it."""
    known = [one.model_dump(exclude_unset=True) for one in configuration.settings.strategies]
    names = [one["name"] for one in known]
    missing = next((name for name in changes if name not in names), None)
    if missing:
        raise CommandError(f"--vary strategies.{missing}: there is no such strategy; there are {', '.join(names)}")
    for one in known:
        for key, value in changes.get(one["name"], {}).items():
            one[key] = {**one.get(key, {}), **value} if isinstance(value, dict) else value
    return known
