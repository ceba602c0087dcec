"""Named points at which a process can kill itself, so that crash tests can check what survives."""

import os
import signal

FAIL_POINT = os.environ.get("PAPERBOT_FAIL_POINT", "")
"""`name` or `name:count`: the point, and which pass of it, at which this process kills itself. Empty: none."""

_passed: dict[str, int] = {}


def fail_point(name: str) -> None:
    """Kill this process with SIGKILL if FAIL_POINT names this point and its count is reached."""
    if not FAIL_POINT:
        return
    wanted, _, count = FAIL_POINT.partition(":")
    if name == wanted:
        _passed[name] = _passed.get(name, 0) + 1
        if _passed[name] >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
