"""Users' strategies: loads a file, compiles a function, and calls Python objects between slices."""

import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperbot.core import types as t
from paperbot.core.numeric import JIT
from paperbot.core.plain import TABLE
from paperbot.core.types import FRAME_ANSWER, FRAME_BAR, FRAME_FEATURES, FRAME_HEAD, FRAME_HELD, FRAME_TARGET
from paperbot.errors import StrategyError, did_you_mean
from paperbot.events import NO_SIGNALS, Signals, signals
from paperbot.strategy import COMPILED_MARK, HOLD, Bar

Records = NDArray[np.void]

FEATURE_KINDS = {kind.name.lower(): kind for kind in t.FeatureKind}
WITHOUT_WINDOW = {t.FeatureKind.VWAP}


def _word(dtype: np.dtype[np.void], name: str) -> int:
    """The offset of a field in its record, in words of eight bytes."""
    return dict(dtype.fields or {})[name][1] // 8


_FEATURE_WORDS = t.FEATURE.itemsize // 8
_COUNT = _word(t.FEATURE, "count")
_VALUE = _word(t.FEATURE, "value")
_POSITION_WORDS = t.POSITION.itemsize // 8
_QUANTITY = _word(t.POSITION, "quantity")
_TARGET = _word(t.POSITION, "target")
MAX_PARAMS = 16
MAX_MEMORY = 1 << 20


@dataclass
class Loaded:
    """A loaded strategy file: name, features (kind and window), parameters, words of memory, and code."""

    name: str
    path: Path
    features: list[tuple[t.FeatureKind, int]]
    params: dict[str, float]
    memory: int
    function: Callable[..., Any] | None = None
    factory: Callable[[dict[str, float]], Any] | None = None
    address: int = 0
    keep: list[Any] = field(default_factory=list)

    @property
    def is_compiled(self) -> bool:
        """Whether it runs inside the core."""
        return self.function is not None


def load_strategy(name: str, path: Path, overrides: Mapping[str, float]) -> Loaded:
    """Load a strategy file. Raises StrategyError with one sentence, which names the file and, if known, the line."""
    if not path.is_file():
        raise StrategyError(f"strategy {name}: {path}: there is no such file")
    module = _import(name, path)
    features = [_feature(name, path, text) for text in _attribute(module, "FEATURES", list, [])]
    params = {key: float(value) for key, value in _attribute(module, "PARAMS", dict, {}).items()}
    for key, value in overrides.items():
        if key not in params:
            raise StrategyError(f"strategy {name}: {path} has no parameter {key}{did_you_mean(key, params)}")
        params[key] = value
    memory = _attribute(module, "MEMORY", int, 0)
    if len(features) > FRAME_FEATURES or len(params) > MAX_PARAMS or not 0 <= memory <= MAX_MEMORY:
        raise StrategyError(
            f"strategy {name}: {path}: allowed are at most {FRAME_FEATURES} FEATURES and {MAX_PARAMS} PARAMS, and "
            f"a MEMORY of 0 to {MAX_MEMORY}"
        )
    strategy = Loaded(name, path, features, params, memory)
    on_bar = getattr(module, "on_bar", None)
    if on_bar is not None and getattr(on_bar, COMPILED_MARK, False):
        strategy.function = on_bar
        _compile(strategy)
    elif hasattr(module, "Strategy"):
        strategy.factory = module.Strategy
    else:
        raise StrategyError(f"strategy {name}: {path} has neither an on_bar marked @compiled nor a class Strategy")
    return strategy


def _import(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"paperbot_user_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise StrategyError(f"strategy {name}: {path}:{error.lineno}: {error.msg}") from None
    except Exception as error:  # noqa: BLE001
        line = traceback.extract_tb(error.__traceback__)[-1].lineno
        raise StrategyError(f"strategy {name}: {path}:{line}: {_one_line(error)}") from None
    return module


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _attribute(module: ModuleType, attribute: str, kind: type, default: Any) -> Any:
    value = getattr(module, attribute, default)
    if not isinstance(value, kind):
        raise StrategyError(f"{module.__file__}: {attribute} must be a {kind.__name__}, not {value!r}")
    return value


def _feature(name: str, path: Path, text: str) -> tuple[t.FeatureKind, int]:
    """Parse a feature such as `sma(20)` into kind and window."""
    match = re.fullmatch(r"([a-z]+)(?:\((\d+)\))?", str(text))
    kind = FEATURE_KINDS.get(match[1]) if match else None
    if match is None or kind is None:
        raise StrategyError(f"strategy {name}: {path}: unknown feature {text}{did_you_mean(str(text), FEATURE_KINDS)}")
    if kind in WITHOUT_WINDOW:
        return kind, 1
    if match[2] is None or not 1 <= int(match[2]) <= 10_000:  # noqa: PLR2004
        raise StrategyError(
            f"strategy {name}: {path}: {text} needs a window of 1 to 10,000 bars, such as {match[1]}(20)"
        )
    return kind, int(match[2])


@dataclass(frozen=True)
class _Code:
    """A function, compared by path and source of its file, so that a sweep with many plans compiles it once."""

    path: Path
    source: bytes
    function: Callable[..., Any] = field(compare=False)


@lru_cache(maxsize=64)
def _callback(code: _Code, shape: tuple[int, int, int, int, int]) -> Any:
    from paperbot.core.pointer import compile_strategy  # noqa: PLC0415  (it exists only for compiled code)

    return compile_strategy(code.function, shape)


def _compile(strategy: Loaded) -> None:
    """Compile the function, so that an error in it is found before the run."""
    n_features, n_params, memory = len(strategy.features), len(strategy.params), strategy.memory
    if not JIT:
        function = strategy.function
        assert function is not None

        def plain(ts: int, frame: Any, values: Any, room: Any) -> float:
            features = frame[FRAME_HEAD : FRAME_HEAD + n_features]
            held, target = float(frame[FRAME_HELD]), int(frame[FRAME_TARGET])
            return float(function(ts, frame[:FRAME_BAR], features, values[:n_params], room, held, target))

        strategy.address = len(TABLE) + 1
        TABLE[strategy.address] = plain
        return
    shape = (FRAME_HEAD, n_features, n_params, memory, FRAME_ANSWER)
    try:
        assert strategy.function is not None
        callback = _callback(_Code(strategy.path.resolve(), strategy.path.read_bytes(), strategy.function), shape)
    except Exception as error:  # noqa: BLE001
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        lines = [part.strip() for part in text.splitlines() if part.strip()]
        line = getattr(getattr(error, "loc", None), "line", None)
        reason = next((part for part in lines if not part.startswith(("Failed in", "During", "File"))), lines[0])
        at = f":{line}" if line else ""
        raise StrategyError(
            f"strategy {strategy.name}: {strategy.path}{at}: does not compile: {reason[:200]}"
        ) from None
    strategy.address = int(callback.address)
    strategy.keep.append(callback)


_new_bar = tuple.__new__
"""Creates a Bar from its values. Its own constructor is a Python function and would cost as much as `on_bar`."""


@dataclass(slots=True)
class _Instance:
    """One strategy in one symbol.

    `warming`: (index of the count word, bars needed) of each feature that does not count yet. `values`, `quantity` and
    `target`: indices of words in the state.
    """

    index: int
    strategy: Loaded
    on_bar: Callable[[Bar], Any]
    warming: list[tuple[int, int]]
    values: list[int]
    quantity: int
    target: int


class PythonDesk:
    """Calls Python strategies after each slice; their answers become SIGNAL events at the slice's closing time."""

    def __init__(self, strategies: Mapping[int, Loaded], plan: Any, machine: Any) -> None:
        params = plan.params
        n_symbols = len(plan.symbols)
        enabled = params.enabled.reshape(-1, n_symbols)
        state = machine.state
        self._symbols = plan.symbols
        self._units = [float(unit) for unit in params.symbols["price_unit"]]
        self._base_units = [float(unit) for unit in params.symbols["base_unit"]]
        self._n_features = int(params.risk[0]["n_features"])
        # Memory views of the state's words: indexing a record from Python costs ten times as much.
        self._counts = state.features.view(np.int64).data
        self._values = state.features.view(np.float64).data
        self._held = state.positions.view(np.int64).data
        self._needs = params.features["needs"].tolist()
        self._instances = [
            [self._instance_of(index, strategies[index], symbol, params) for index in sorted(strategies) if row[index]]
            for symbol, row in enumerate(enabled.T.tolist())
        ]

    def _instance_of(self, index: int, strategy: Loaded, symbol: int, params: Any) -> "_Instance":
        assert strategy.factory is not None
        try:
            on_bar = strategy.factory(dict(strategy.params)).on_bar
        except Exception as error:  # noqa: BLE001
            raise StrategyError(f"strategy {strategy.name}: {strategy.path}: {_one_line(error)}") from None
        slots = [int(slot) for slot in params.strategies[index]["feature"][: len(strategy.features)]]
        first = symbol * self._n_features
        position = (index * len(self._symbols) + symbol) * _POSITION_WORDS
        return _Instance(
            index,
            strategy,
            on_bar,
            warming=[((first + slot) * _FEATURE_WORDS + _COUNT, self._needs[slot]) for slot in slots],
            values=[(first + slot) * _FEATURE_WORDS + _VALUE for slot in slots],
            quantity=position + _QUANTITY,
            target=position + _TARGET,
        )

    def ask(self, bars: list[tuple[Any, ...]]) -> Signals:
        """Return SIGNAL events for one finished slice, in order of (symbol id, strategy id). Raises StrategyError."""
        answers = []
        for bar in sorted(bars, key=_symbol_of) if len(bars) > 1 else bars:
            open_ts, close_ts, opening, high, low, close, volume, symbol = bar[:8]
            unit = self._units[symbol]
            for instance in self._instances[symbol]:
                if instance.warming and not self._has_warmed_up(instance):
                    continue
                target = self._held[instance.target]
                values = [self._values[word] for word in instance.values]
                seen = _new_bar(
                    Bar,
                    (
                        *(self._symbols[symbol], open_ts, close_ts),
                        *(opening / unit, high / unit, low / unit, close / unit, volume),
                        *(self._held[instance.quantity] / self._base_units[symbol], target, tuple(values)),
                    ),
                )
                try:
                    answer = float(instance.on_bar(seen))
                except Exception as error:  # noqa: BLE001
                    raise _failure(instance.strategy, seen, error) from None
                if answer == HOLD:
                    continue
                if not isfinite(answer):
                    raise _failure(instance.strategy, seen, answer)
                wanted = (answer > 0) - (answer < 0)
                if wanted != target:
                    answers.append((close_ts, symbol, instance.index, wanted, round(min(abs(answer), 1.0) * 1e9), 0))
        return signals(answers) if answers else NO_SIGNALS

    def _has_warmed_up(self, instance: "_Instance") -> bool:
        instance.warming = [(word, needs) for word, needs in instance.warming if self._counts[word] < needs]
        return not instance.warming


def _failure(strategy: Loaded, bar: Bar, cause: Exception | float) -> StrategyError:
    """Make the error for an `on_bar` that raised or did not return a finite number."""
    if isinstance(cause, Exception):
        line = traceback.extract_tb(cause.__traceback__)[-1].lineno
        reason = f"{strategy.path}:{line}: {_one_line(cause)}"
    else:
        reason = f"answered {cause}, not a finite number"
    at = np.datetime_as_string(np.datetime64(bar.close_ts, "ns"), unit="s") + "Z"
    return StrategyError(f"strategy {strategy.name} on {bar.symbol} at {at}: {reason}")


def _symbol_of(bar: tuple[Any, ...]) -> int:
    return int(bar[7])
