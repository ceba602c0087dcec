"""Validates configuration values against a model, and reports every mistake at once."""

import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ValidationError

from paperbot.errors import ConfigError, did_you_mean

BUILT_IN = "built-in"
MAX_MESSAGES = 20

Tree = dict[str, Any]
M = typing.TypeVar("M", bound=BaseModel)


class Mistakes:
    """Collects the mistakes of several checks, so that the user can fix all of them at once."""

    def __init__(self) -> None:
        self._messages: list[str] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Catch a ConfigError of the block and keep its messages."""
        try:
            yield
        except ConfigError as error:
            self._messages += [mistake for mistake in error.mistakes if mistake not in self._messages]

    def check(self) -> None:
        """Raise ConfigError with all collected messages, if there are any."""
        if self._messages:
            raise ConfigError(*self._messages)


def validate(model: type[M], tree: Tree, origins: Mapping[str, str] | str, where: str = "") -> M:
    """Validate the tree against the model.

    Raises ConfigError, whose messages name for each mistake its origin, the key, the value and what is allowed.
    """

    def origin_of(path: str) -> str:
        if isinstance(origins, str):
            return origins
        related = (key for key in origins if f"{path}.".startswith(f"{key}.") or key.startswith(f"{path}."))
        return origins.get(next(related, ""), BUILT_IN)

    unknown = {path: did_you_mean(word, allowed) for path, word, allowed in _unknown_keys(model, tree, "")}
    mistakes = [f"{origin_of(path)}: {where}unknown key {path}{hint}" for path, hint in unknown.items()]
    valid = None
    try:
        valid = model.model_validate(tree)
    except ValidationError as error:
        for mistake in error.errors():
            if mistake["type"] == "extra_forbidden" and unknown:
                continue  # Reported above, with a hint.
            path = ".".join(str(part) for part in mistake["loc"])
            mistakes.append(f"{origin_of(path)}: {where}{_sentence(path, mistake)}")
    if valid is None or mistakes:
        more = [f"and {len(mistakes) - MAX_MESSAGES} more"] if len(mistakes) > MAX_MESSAGES else []
        raise ConfigError(*mistakes[:MAX_MESSAGES], *more)
    return valid


def _sentence(path: str, mistake: Mapping[str, Any]) -> str:
    """A sentence about one of pydantic's errors."""
    if mistake["type"] == "missing":
        return f"{path} is missing"
    message = mistake["msg"].removeprefix("Value error, ")
    value = "" if isinstance(mistake["input"], Mapping | list) else f" = {mistake['input']!r}"
    return f"{path}{value}: {message[:1].lower()}{message[1:]}"


def _unknown_keys(annotation: Any, value: Any, prefix: str) -> Iterator[tuple[str, str, list[str]]]:  # noqa: C901
    """Yield (path, key, allowed keys) for each key that the annotated type does not have."""
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
