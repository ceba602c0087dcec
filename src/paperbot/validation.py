"""Validates configuration values against a model, and reports every mistake at once."""

import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ValidationError

from paperbot.errors import ConfigError, did_you_mean

BUILT_IN = "built-in"
MOST_TOLD = 20

Tree = dict[str, Any]
M = typing.TypeVar("M", bound=BaseModel)


class Mistakes:
    """Collects what several checks find, so that all of it can be mended at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """A ConfigError of the block is kept for later."""
        try:
            yield
        except ConfigError as error:
            self._found += [one for one in error.mistakes if one not in self._found]

    def check(self) -> None:
        """Raises ConfigError with all that was found."""
        if self._found:
            raise ConfigError(*self._found)


def validate(model: type[M], tree: Tree, origins: Mapping[str, str] | str, where: str = "") -> M:
    """The tree as a model. Raises ConfigError that names of each mistake the place, the key, the value and what is
    allowed.
    """

    def origin_of(path: str) -> str:
        if isinstance(origins, str):
            return origins
        related = (known for known in origins if f"{path}.".startswith(f"{known}.") or known.startswith(f"{path}."))
        return origins.get(next(related, ""), BUILT_IN)

    unknown = {path: did_you_mean(word, known) for path, word, known in _unknown_keys(model, tree, "")}
    mistakes = [f"{origin_of(path)}: {where}unknown key {path}{hint}" for path, hint in unknown.items()]
    valid = None
    try:
        valid = model.model_validate(tree)
    except ValidationError as error:
        known = [one for one in error.errors() if one["type"] != "extra_forbidden" or not mistakes]
        for one in known:
            path = ".".join(str(part) for part in one["loc"])
            mistakes.append(f"{origin_of(path)}: {where}{_sentence(path, one)}")
    if valid is None or mistakes:
        more = [f"and {len(mistakes) - MOST_TOLD} more"] if len(mistakes) > MOST_TOLD else []
        raise ConfigError(*mistakes[:MOST_TOLD], *more)
    return valid


def _sentence(path: str, mistake: Mapping[str, Any]) -> str:
    """What pydantic found wrong at a place."""
    if mistake["type"] == "missing":
        return f"{path} is missing"
    message = mistake["msg"].removeprefix("Value error, ")
    value = "" if isinstance(mistake["input"], Mapping | list) else f" = {mistake['input']!r}"
    return f"{path}{value}: {message[:1].lower()}{message[1:]}"


def _unknown_keys(annotation: Any, value: Any, prefix: str) -> Iterator[tuple[str, str, list[str]]]:  # noqa: C901
    """(path, key, known keys) of each key that the annotated type does not have."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not isinstance(value, Mapping):
            return
        for key, item in value.items():
            field = annotation.model_fields.get(key)
            if field is None:
                yield f"{prefix}{key}", str(key), list(annotation.model_fields)
            else:
                yield from _unknown_keys(field.annotation, item, f"{prefix}{key}.")
        return
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is list and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_keys(arguments[0], item, f"{prefix}{index}.")
    elif typing.get_origin(annotation) is typing.Annotated:
        yield from _unknown_keys(arguments[0], value, prefix)
    elif typing.get_origin(annotation) in (types.UnionType, typing.Union) and isinstance(value, Mapping):
        bare = [typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind for kind in arguments]
        kinds = [kind for kind in bare if isinstance(kind, type) and issubclass(kind, BaseModel)]
        for kind in kinds:
            named = "user" if "path" in value else value.get("kind")
            if named in typing.get_args(kind.model_fields["kind"].annotation):
                yield from _unknown_keys(kind, value, prefix)
