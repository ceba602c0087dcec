"""How the configuration is put together, layer over layer, and where each value is from.

For the settings: built-in < config.yaml < command line. For what holds in a symbol (`MarketKnobs`): built-in < realism
preset < profile < the profile's symbol patterns, the most specific last < what the symbol's data shows < the profile's
exact symbol < what the venue says < config.yaml's `execution` < its symbol patterns < command line.
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
    """A tree of values and the name of the place they are from."""

    origin: str
    tree: Tree


@dataclass(frozen=True)
class Learned:
    """The rules of one symbol that are in no file of the user's: from its data, and from the venue itself."""

    data: Layer | None = None
    venue: Layer | None = None


@dataclass(frozen=True)
class Configuration:
    """The validated settings, the profile that matches them, and the origin of every value.

    `presets`: realism and the profile; `own`: what the user has set; `learned`: by symbol.
    """

    settings: Settings
    profile: Profile
    origins: Mapping[str, str]
    presets: tuple[Layer, ...]
    own: tuple[Layer, ...]
    learned: Mapping[str, Learned]

    @property
    def market(self) -> str:
        """`crypto` or `stocks`: what the profile says."""
        return self.profile.market

    def knobs(self, symbol: str) -> tuple[MarketKnobs, dict[str, str]]:
        """What holds for a symbol, and the origin of each value."""
        learned = self.learned.get(symbol, Learned())
        layers = [part for preset in self.presets for part in _for_symbol(preset, symbol, exact=False)]
        layers += [learned.data] if learned.data else []
        if self.profile.uniform:  # Its rules are the venue's for every symbol, not those of a typical one.
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
        """Whether a rule is only typical of the venue's symbols: the profile's pattern, or no more than a default."""
        profile = self.presets[-1].origin
        is_pattern = origin.startswith(f"{profile} [") and ("*" in origin or "?" in origin)
        return origin == BUILT_IN or is_pattern or (origin == profile and not self.profile.uniform)


def _for_symbol(layer: Layer, symbol: str, exact: bool) -> list[Layer]:  # noqa: FBT001
    """What a layer says of a symbol: in general and by its patterns, or (`exact`) by its very name."""
    patterns = layer.tree.get("symbols", {})
    if exact:
        return [Layer(f"{layer.origin} [{symbol}]", patterns[symbol])] if symbol in patterns else []
    general = Layer(layer.origin, {key: value for key, value in layer.tree.items() if key != "symbols"})
    fitting = [name for name in matching(symbol, patterns) if name != symbol]
    return [general, *(Layer(f"{layer.origin} [{name}]", patterns[name]) for name in fitting)]


def matching(symbol: str, patterns: Iterable[str]) -> list[str]:
    """The patterns that fit a symbol, the most specific (the most letters that are no wildcard) last."""
    fitting = [pattern for pattern in patterns if fnmatchcase(symbol, pattern)]
    return sorted(fitting, key=lambda pattern: (len(pattern.replace("*", "").replace("?", "")), pattern))


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of each leaf; a list is a leaf."""
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path + ".")
        else:
            yield path, value


def merge(layers: Iterable[Layer]) -> tuple[Tree, dict[str, str]]:
    """One tree in which later layers win leaf by leaf, and the origin of each leaf."""
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
    """A YAML file as a tree. Raises ConfigError for a file that is missing, unreadable or no mapping."""
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
        raise ConfigError(f"{path}: must hold keys and values, not a {type(tree).__name__}")
    return tree


def read_profile(path: Path) -> Profile:
    """A file of `config/exchanges/`. Its market keys are checked as they stand, patterns included."""
    tree = read_yaml(path)
    head: Tree = {key: tree.pop(key) for key in PROFILE_HEAD if key in tree}
    known = [*MarketKnobs.model_fields, *PROFILE_HEAD]
    for key in tree:
        if key not in known:
            raise ConfigError(f"{path}: unknown key {key}{did_you_mean(str(key), known)}")
    validate(MarketKnobs, tree, str(path))
    profile = validate(Profile, {**head, "knobs": tree}, str(path))
    _check_patterns(profile.symbols, str(path))
    return profile


def _check_patterns(patterns: Any, origin: str) -> None:
    if not isinstance(patterns, Mapping):
        raise ConfigError(f"{origin}: symbols must hold patterns and their keys, not {patterns!r}")
    mistakes = Mistakes()
    for pattern, tree in patterns.items():
        with mistakes.gathered():
            if not isinstance(pattern, str):
                raise ConfigError(f"{origin}: symbols: {pattern!r} is not a pattern; use one such as */USDT")
            if not isinstance(tree, Mapping):
                raise ConfigError(f"{origin}: symbols.{pattern} must hold keys and values")
            validate(MarketKnobs, dict(tree), origin, f"symbols.{pattern}: ")
    mistakes.check()


def find_profile(folder: Path, exchange: str, environment: str) -> tuple[Profile, Path]:
    """The profile that matches. Raises ConfigError that lists what there is, when none does."""
    known = []
    for path in sorted(folder.glob("*.yml")):
        profile = read_profile(path)
        if profile.match.exchange == exchange and environment in profile.match.environment:
            return profile, path
        known += [f"{profile.match.exchange}/{name}" for name in profile.match.environment]
    raise ConfigError(
        f"no profile in {folder} matches exchange {exchange} and environment {environment}"
        f"{did_you_mean(f'{exchange}/{environment}', known)}"
    )


def parse_assignment(text: str) -> Tree:
    """`risk.max_drawdown=0.1` as a tree. Raises ConfigError when there is no key or no `=`."""
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
    """A configuration file and the profiles beside it, read once, for any number of configurations made of them.

    `path` None: the built-in settings, and no profile folder but the shipped one. Raises ConfigError.
    """

    def __init__(self, path: Path | None) -> None:
        self._layers = [Layer(str(path), read_yaml(path))] if path else []
        self._folder = _profile_folder(path)
        self._profiles: dict[tuple[str, str], tuple[Profile, Path]] = {}
        self._learned: dict[str, Learned] = {}

    def learn(self, symbol: str, *, data: Layer | None = None, venue: Layer | None = None) -> None:
        """Take in a symbol's rules as its data or its venue shows them, for all configurations from now on."""
        before = self._learned.get(symbol, Learned())
        self._learned[symbol] = Learned(data or before.data, venue or before.venue)

    def _profile(self, exchange: str, environment: str) -> tuple[Profile, Path]:
        key = exchange, environment
        if key not in self._profiles:
            self._profiles[key] = find_profile(self._folder, exchange, environment)
        return self._profiles[key]

    def configure(self, overrides: Iterable[Tree] = ()) -> Configuration:
        """Merge and check everything. Raises ConfigError."""
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
        full = {name: origins.get(name, BUILT_IN) for name, _ in leaves(settings.model_dump())}
        return Configuration(settings, profile, {**full, **origins}, presets, tuple(own), dict(self._learned))

    def _strategies(self, overrides: Iterable[Tree]) -> Any:
        """The strategies as the command line leaves them: a list takes the place of all, names change single keys."""
        listed: Any = next((layer.tree["strategies"] for layer in self._layers if "strategies" in layer.tree), None)
        if listed is None:
            listed = [one.model_dump(exclude_unset=True) for one in Settings().strategies]
        for tree in overrides:
            changes = tree.get("strategies", {})
            if not isinstance(changes, Mapping):
                listed = changes
                continue
            known = [one.get("name") for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
            for name, keys in changes.items():
                if name not in known or not isinstance(keys, Mapping):
                    hint = did_you_mean(str(name), map(str, known))
                    raise ConfigError(f"{COMMAND_LINE}: strategies.{name}: there is no strategy of that name{hint}")
                changed = [Layer("", dict(keys))]
                listed = [
                    merge([Layer("", one), *changed])[0] if one["name"] == name else one for one in listed
                ]
        return listed


def _own_knobs(layer: Layer) -> Layer:
    """What a user's layer says of markets, checked. Raises ConfigError."""
    tree = layer.tree.get("execution") or {}
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{layer.origin}: execution must hold keys and values, not {tree!r}")
    mistakes = Mistakes()
    with mistakes.gathered():
        _check_patterns(tree.get("symbols") or {}, layer.origin)
    with mistakes.gathered():
        validate(MarketKnobs, {k: v for k, v in tree.items() if k != "symbols"}, layer.origin, "execution: ")
    mistakes.check()
    return Layer(layer.origin, dict(tree))


def _with_lists(model: type[BaseModel], tree: Tree) -> Tree:
    """The tree with a single word where a list is wanted as a list of one."""
    found = dict(tree)
    for key, value in tree.items():
        annotation = model.model_fields[key].annotation if key in model.model_fields else None
        if typing.get_origin(annotation) is list and isinstance(value, str):
            found[key] = [value]
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(value, Mapping):
            found[key] = _with_lists(annotation, dict(value))
    return found


def load(path: Path | None, overrides: Iterable[Tree] = ()) -> Configuration:
    """Read, merge and check everything. Raises ConfigError."""
    return ConfigFiles(path).configure(overrides)


def _built_in_tables() -> Tree:
    """The tables that a user adds to rather than replaces: a further override does not unprice the stable coins."""
    settings = Settings()
    return {"oracle": settings.oracle.model_dump(), "account": settings.account.model_dump(include={"start_cash"})}


SHIPPED = Path(__file__).resolve().parent / "shipped"
"""What comes with the package: its `config/` and `prompts/` stand in where the working directory has none."""


def shipped(path: Path) -> Path:
    """The file as named, or the one of that name that comes with the product where there is no such file."""
    return path if path.exists() or path.is_absolute() or not (SHIPPED / path).exists() else SHIPPED / path


def _profile_folder(path: Path | None) -> Path:
    """`exchanges/` beside the configuration file; for the built-in settings the shipped one."""
    if path is not None and (path.parent / "exchanges").is_dir():
        return path.parent / "exchanges"
    return SHIPPED / "config" / "exchanges"


def masked(path: str, value: object) -> str:
    """The value as text, hidden when its key looks like a secret's."""
    return MASK if value and is_secret_name(path) else str(value)


def show(configuration: Configuration, symbols: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(key, value, origin) of every setting and of each symbol's market keys."""
    for path, value in leaves(configuration.settings.model_dump(exclude={"execution"})):
        yield path, masked(path, value), configuration.origins.get(path, BUILT_IN)
    for symbol in symbols:
        knobs, origins = configuration.knobs(symbol)
        for path, value in leaves(knobs.model_dump()):
            yield f"{symbol} {path}", masked(path, value), origins[path]


def changed_settings(configuration: Configuration) -> dict[str, str]:
    """Every setting that somebody has set to another value than the built-in one, masked where it is a secret."""
    defaults = dict(leaves(Settings().model_dump(mode="json")))
    found = {}
    for path, value in leaves(configuration.settings.model_dump(mode="json")):
        if defaults.get(path) != value:
            found[path] = masked(path, value)
    return found
