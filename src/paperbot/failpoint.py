"""Named places at which a process can be made to die, so that tests can show what survives it."""

import os
import signal

FAIL_POINT = os.environ.get("PAPERBOT_FAIL_POINT", "")
"""`name` or `name:count`: where this process kills itself, for the proof that nothing is lost. Empty: nowhere."""

_passed: dict[str, int] = {}


def fail_point(name: str) -> None:
    """A place at which a process may be told to die, as `kill -9` would make it."""
    if not FAIL_POINT:
        return
    wanted, _, count = FAIL_POINT.partition(":")
    if name == wanted:
        _passed[name] = _passed.get(name, 0) + 1
        if _passed[name] >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
