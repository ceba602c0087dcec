"""Loads YAML 1.2: no base-60 numbers, no dates, no `yes` or `no` as booleans, and no duplicate keys.

PyYAML reads version 1.1, in which `1:30` is 90 and `no` is false.
"""

import re
from typing import Any

import yaml

_INTEGER = re.compile(r"^[-+]?[0-9]+$|^0o[0-7]+$|^0x[0-9a-fA-F]+$")
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$")


class YamlError(ValueError):
    """Text that is not YAML; its message is one line."""


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        """Build a mapping. Raises yaml.YAMLError for a duplicate key."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if key.tag != "tag:yaml.org,2002:merge" and name in seen:
                twice = f"the key {name[:60]} is given twice"
                raise yaml.constructor.ConstructorError(None, None, twice, key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """Build a whole number; a leading 0 does not make it octal."""
        text = self.construct_scalar(node)
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)  # noqa: PLR2004

    def construct_real(self, node: yaml.ScalarNode) -> float:
        """Build a float."""
        text = self.construct_scalar(node).lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _resolve(tag: str, pattern: re.Pattern[str], first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", pattern, list(first))


_resolve("null", re.compile(r"^(~|null|Null|NULL|)$"), "~nN")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^$"), [""])
_resolve("bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), "tTfF")
_resolve("int", _INTEGER, "-+0123456789")
_resolve("float", _FLOAT, "-+.0123456789")
_resolve("merge", re.compile(r"^<<$"), "<")
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_real)


def loads(text: str) -> Any:
    """Parse YAML text. Raises YamlError."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(" ".join(str(error).split())[:200]) from None
