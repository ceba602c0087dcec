"""Builds the configuration from layers, and remembers which layer each value came from.

Settings: built-in < config.yaml < command line. Values of a symbol (`MarketKnobs`): built-in < realism preset <
profile < the profile's symbol patterns, the most specific last < rules derived from the symbol's data < the profile's
exact symbol < rules from the venue < config.yaml's `execution` < its symbol patterns < command line.
"""

import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from paperbot.errors import ConfigError, did_you_mean
from paperbot.knobs import REALISM, RULES, MarketKnobs, Profile, decimals_of
from paperbot.redact import MASK, is_secret_name
from paperbot.settings import Settings
from paperbot.validation import BUILT_IN, Mistakes, Tree, validate
from paperbot.yaml12 import YamlError, loads

PROFILE_HEAD = ("match", "market", "uniform", "symbols")
COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Layer:
    """A tree of values and the name of its source."""

    origin: str
    tree: Tree


@dataclass(frozen=True)
class Learned:
    """One symbol's rules that come from its data or from the venue rather than from a file."""

    data: Layer | None = None
    venue: Layer | None = None


@dataclass(frozen=True)
class Configuration:
    """The validated settings, the profile that matches them, and the origin of every value.

    `presets`: the realism preset and the profile; `own`: the user's layers; `learned`: rules by symbol.
    """

    settings: Settings
    profile: Profile
    origins: Mapping[str, str]
    presets: tuple[Layer, ...]
    own: tuple[Layer, ...]
    learned: Mapping[str, Learned]

    @property
    def market(self) -> str:
        """The profile's market, `crypto` or `stocks`."""
        return self.profile.market

    def knobs(self, symbol: str) -> tuple[MarketKnobs, dict[str, str]]:
        """The symbol's values, and the origin of each. Raises ConfigError."""
        learned = self.learned.get(symbol, Learned())
        layers = [part for preset in self.presets for part in _for_symbol(preset, symbol, exact=False)]
        layers += [learned.data] if learned.data else []
        if self.profile.uniform:  # The profile's rules hold for every symbol, so they outrank rules derived from data.
            rules = {key: value for key, value in self.profile.knobs.items() if key in RULES}
            layers.append(Layer(self.presets[-1].origin, rules))
        layers += [part for preset in self.presets for part in _for_symbol(preset, symbol, exact=True)]
        layers += [learned.venue] if learned.venue else []
        layers += [part for layer in self.own for exact in (False, True) for part in _for_symbol(layer, symbol, exact)]
        merged, origins = merge(layers)
        knobs = validate(MarketKnobs, merged, origins, f"{symbol}: ")
        finest = decimals_of(knobs.tick_size)
        is_own = any(origins.get("price_decimals", BUILT_IN).startswith(layer.origin) for layer in self.own)
        if finest > knobs.price_decimals and not is_own:
            knobs = knobs.model_copy(update={"price_decimals": finest})
            origins["price_decimals"] = "tick_size"
        return knobs, {path: origins.get(path, BUILT_IN) for path, _ in leaves(knobs.model_dump())}

    def is_typical(self, origin: str) -> bool:
        """Whether a rule is only a typical value: it comes from a profile pattern or is a default."""
        profile = self.presets[-1].origin
        is_pattern = origin.startswith(f"{profile} [") and ("*" in origin or "?" in origin)
        return origin == BUILT_IN or is_pattern or (origin == profile and not self.profile.uniform)


def _for_symbol(layer: Layer, symbol: str, exact: bool) -> list[Layer]:  # noqa: FBT001
    """A layer's values for a symbol: general values and matching patterns, or (`exact`) only the symbol's own entry."""
    patterns = layer.tree.get("symbols", {})
    if exact:
        return [Layer(f"{layer.origin} [{symbol}]", patterns[symbol])] if symbol in patterns else []
    general = Layer(layer.origin, {key: value for key, value in layer.tree.items() if key != "symbols"})
    matches = [name for name in matching(symbol, patterns) if name != symbol]
    return [general, *(Layer(f"{layer.origin} [{name}]", patterns[name]) for name in matches)]


def matching(symbol: str, patterns: Iterable[str]) -> list[str]:
    """The patterns that match a symbol, the most specific (most characters other than wildcards) last."""
    matches = [pattern for pattern in patterns if fnmatchcase(symbol, pattern)]
    return sorted(matches, key=lambda pattern: (len(pattern.replace("*", "").replace("?", "")), pattern))


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and value of each leaf; a list is a leaf."""
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path + ".")
        else:
            yield path, value


def merge(layers: Iterable[Layer]) -> tuple[Tree, dict[str, str]]:
    """Merge layers into one tree, later layers winning leaf by leaf; also return the origin of each leaf."""
    merged: Tree = {}
    origins: dict[str, str] = {}
    for layer in layers:
        _merge_into(merged, layer.tree, layer.origin, origins, "")
    return merged, origins


def _merge_into(merged: Tree, tree: Tree, origin: str, origins: dict[str, str], prefix: str) -> None:
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and isinstance(merged.get(key, {}), Mapping):
            merged[key] = dict(merged.get(key, {}))
            _merge_into(merged[key], dict(value), origin, origins, path + ".")
        else:
            merged[key] = value
            origins[path] = origin


def read_yaml(path: Path) -> Tree:
    """Read a YAML file as a tree. Raises ConfigError for a file that is missing, unreadable or not a mapping."""
    try:
        tree = loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except YamlError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must contain keys and values, not a {type(tree).__name__}")
    return tree


def read_profile(path: Path) -> Profile:
    """Read and check a profile of `config/exchanges/`, its symbol patterns included. Raises ConfigError."""
    tree = read_yaml(path)
    head: Tree = {key: tree.pop(key) for key in PROFILE_HEAD if key in tree}
    allowed = [*MarketKnobs.model_fields, *PROFILE_HEAD]
    for key in tree:
        if key not in allowed:
            raise ConfigError(f"{path}: unknown key {key}{did_you_mean(str(key), allowed)}")
    validate(MarketKnobs, tree, str(path))
    profile = validate(Profile, {**head, "knobs": tree}, str(path))
    _check_patterns(profile.symbols, str(path))
    return profile


def _check_patterns(patterns: Any, origin: str) -> None:
    if not isinstance(patterns, Mapping):
        raise ConfigError(f"{origin}: symbols must map patterns to keys, not {patterns!r}")
    mistakes = Mistakes()
    for pattern, tree in patterns.items():
        with mistakes.gathered():
            if not isinstance(pattern, str):
                raise ConfigError(f"{origin}: symbols: {pattern!r} is not a pattern; use one such as */USDT")
            if not isinstance(tree, Mapping):
                raise ConfigError(f"{origin}: symbols.{pattern} must contain keys and values")
            validate(MarketKnobs, dict(tree), origin, f"symbols.{pattern}: ")
    mistakes.check()


def find_profile(folder: Path, exchange: str, environment: str) -> tuple[Profile, Path]:
    """Find the matching profile and its path. Raises ConfigError with a hint when no profile matches."""
    available = []
    for path in sorted(folder.glob("*.yml")):
        profile = read_profile(path)
        if profile.match.exchange == exchange and environment in profile.match.environment:
            return profile, path
        available += [f"{profile.match.exchange}/{name}" for name in profile.match.environment]
    raise ConfigError(
        f"no profile in {folder} matches exchange {exchange} and environment {environment}"
        f"{did_you_mean(f'{exchange}/{environment}', available)}"
    )


def parse_assignment(text: str) -> Tree:
    """Parse `risk.max_drawdown=0.1` into a tree. Raises ConfigError without a key or `=`, or for invalid YAML."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"command line: --set {text}: expected KEY=VALUE, such as risk.max_drawdown=0.1")
    try:
        tree: Any = loads(value)
    except YamlError:
        raise ConfigError(f"command line: --set {text}: the value is not YAML") from None
    for key in reversed(path.strip().split(".")):
        tree = {key: tree}
    return typing.cast("Tree", tree)


class ConfigFiles:
    """A configuration file and its profiles, read once and used for any number of configurations.

    `path` None: the built-in settings and the shipped profiles. Raises ConfigError.
    """

    def __init__(self, path: Path | None) -> None:
        self._layers = [Layer(str(path), read_yaml(path))] if path else []
        self._folder = _profile_folder(path)
        self._profiles: dict[tuple[str, str], tuple[Profile, Path]] = {}
        self._learned: dict[str, Learned] = {}

    def learn(self, symbol: str, *, data: Layer | None = None, venue: Layer | None = None) -> None:
        """Use these rules of a symbol, from its data or its venue, in all later configurations."""
        before = self._learned.get(symbol, Learned())
        self._learned[symbol] = Learned(data or before.data, venue or before.venue)

    def _profile(self, exchange: str, environment: str) -> tuple[Profile, Path]:
        key = exchange, environment
        if key not in self._profiles:
            self._profiles[key] = find_profile(self._folder, exchange, environment)
        return self._profiles[key]

    def configure(self, overrides: Iterable[Tree] = ()) -> Configuration:
        """Merge all layers and check the result. Raises ConfigError."""
        overrides = list(overrides)
        command, _ = merge(Layer(COMMAND_LINE, tree) for tree in overrides)
        if "strategies" in command:
            command = {**command, "strategies": self._strategies(overrides)}
        layers = [*self._layers, Layer(COMMAND_LINE, command)]
        merged, origins = merge([Layer(BUILT_IN, _built_in_tables()), *layers])
        mistakes, own = Mistakes(), []
        with mistakes.gathered():
            settings = validate(Settings, _with_lists(Settings, merged), origins)
        for layer in layers:
            with mistakes.gathered():
                own.append(_own_knobs(layer))
        mistakes.check()
        profile, profile_path = self._profile(settings.exchange, settings.environment)
        presets = (
            Layer(f"realism {settings.realism}", REALISM[settings.realism]),
            Layer(str(profile_path), {**profile.knobs, "symbols": profile.symbols}),
        )
        all_origins = {name: origins.get(name, BUILT_IN) for name, _ in leaves(settings.model_dump())}
        return Configuration(settings, profile, {**all_origins, **origins}, presets, tuple(own), dict(self._learned))

    def _strategies(self, overrides: Iterable[Tree]) -> Any:
        """The strategies after the command line's changes: a list replaces all of them, a name changes single keys."""
        listed: Any = next((layer.tree["strategies"] for layer in self._layers if "strategies" in layer.tree), None)
        if listed is None:
            listed = [strategy.model_dump(exclude_unset=True) for strategy in Settings().strategies]
        for tree in overrides:
            changes = tree.get("strategies", {})
            if not isinstance(changes, Mapping):
                listed = changes
                continue
            entries = listed if isinstance(listed, list) else []
            names = [entry.get("name") for entry in entries if isinstance(entry, Mapping)]
            for name, keys in changes.items():
                if name not in names or not isinstance(keys, Mapping):
                    hint = did_you_mean(str(name), map(str, names))
                    raise ConfigError(f"{COMMAND_LINE}: strategies.{name}: there is no strategy of that name{hint}")
                change = Layer("", dict(keys))
                listed = [
                    merge([Layer("", entry), change])[0] if entry["name"] == name else entry for entry in listed
                ]
        return listed


def _own_knobs(layer: Layer) -> Layer:
    """The `execution` keys of a user's layer, checked. Raises ConfigError."""
    tree = layer.tree.get("execution") or {}
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{layer.origin}: execution must contain keys and values, not {tree!r}")
    mistakes = Mistakes()
    with mistakes.gathered():
        _check_patterns(tree.get("symbols") or {}, layer.origin)
    with mistakes.gathered():
        validate(MarketKnobs, {k: v for k, v in tree.items() if k != "symbols"}, layer.origin, "execution: ")
    mistakes.check()
    return Layer(layer.origin, dict(tree))


def _with_lists(model: type[BaseModel], tree: Tree) -> Tree:
    """The tree, with each single word that stands for a list turned into a list of one."""
    result = dict(tree)
    for key, value in tree.items():
        annotation = model.model_fields[key].annotation if key in model.model_fields else None
        if typing.get_origin(annotation) is list and isinstance(value, str):
            result[key] = [value]
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(value, Mapping):
            result[key] = _with_lists(annotation, dict(value))
    return result


def load(path: Path | None, overrides: Iterable[Tree] = ()) -> Configuration:
    """Read the configuration file, apply the overrides and check the result. Raises ConfigError."""
    return ConfigFiles(path).configure(overrides)


def _built_in_tables() -> Tree:
    """Tables that a user extends instead of replacing: adding an override must not remove the price of stablecoins."""
    settings = Settings()
    return {"oracle": settings.oracle.model_dump(), "account": settings.account.model_dump(include={"start_cash"})}


SHIPPED = Path(__file__).resolve().parent / "shipped"
"""Files that come with the package: its `config/` and `prompts/` are used where the working directory has none."""


def shipped(path: Path) -> Path:
    """The path itself if the file exists, otherwise the shipped file of that name if there is one."""
    return path if path.exists() or path.is_absolute() or not (SHIPPED / path).exists() else SHIPPED / path


def _profile_folder(path: Path | None) -> Path:
    """The folder `exchanges/` beside the configuration file, or the shipped one."""
    if path is not None and (path.parent / "exchanges").is_dir():
        return path.parent / "exchanges"
    return SHIPPED / "config" / "exchanges"


def masked(path: str, value: object) -> str:
    """The value as text, masked when its key names a secret."""
    return MASK if value and is_secret_name(path) else str(value)


def show(configuration: Configuration, symbols: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """List (key, value, origin) of every setting and of each symbol's market keys."""
    for path, value in leaves(configuration.settings.model_dump(exclude={"execution"})):
        yield path, masked(path, value), configuration.origins.get(path, BUILT_IN)
    for symbol in symbols:
        knobs, origins = configuration.knobs(symbol)
        for path, value in leaves(knobs.model_dump()):
            yield f"{symbol} {path}", masked(path, value), origins[path]


def changed_settings(configuration: Configuration) -> dict[str, str]:
    """All settings whose value differs from the built-in one; secrets are masked."""
    defaults = dict(leaves(Settings().model_dump(mode="json")))
    changed = {}
    for path, value in leaves(configuration.settings.model_dump(mode="json")):
        if defaults.get(path) != value:
            changed[path] = masked(path, value)
    return changed
