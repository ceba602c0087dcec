"""Every record and code of the core under one short name: `from paperbot.core import types as t`.

Inside the core a symbol, an asset, a side or a reason is a small integer; names exist only at the edges.
"""

from typing import Any, TypeAlias

from paperbot.core.codes import *  # noqa: F403
from paperbot.core.inputs import *  # noqa: F403
from paperbot.core.memory import *  # noqa: F403
from paperbot.core.results import *  # noqa: F403

World: TypeAlias = Any
"""The first argument of each function of the core; see `core/world.py`."""
Record: TypeAlias = Any
"""One record of a structured array, by reference: assigning to a field changes the array."""
Array: TypeAlias = Any
"""A one-dimensional array."""
