"""The lock files name the same files, and no registry."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHOLE = ("requirements.lock", "requirements-stack.lock")
LOCKS = ("poetry.lock", *WHOLE, "requirements-run.lock")

Pins = dict[tuple[str, str], set[str]]


def pins_of(lock: str) -> Pins:
    """Hashes by name and version of a lock that pip reads."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    pins = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            name, version = re.split(r"[ ;]", line, maxsplit=1)[0].split("==")
            pins[re.sub(r"[-_.]+", "-", name).lower(), version] = set(re.findall(r"--hash=(\S+)", line))
    assert all(pins.values())
    return pins


def test_locks_pin_the_same() -> None:
    """Name, version and hashes agree between what Poetry installs and what pip installs."""
    packages = tomllib.loads((ROOT / "poetry.lock").read_text(encoding="utf-8"))["package"]
    poetry = {(item["name"], item["version"]): {file["hash"] for file in item["files"]} for item in packages}
    everything: Pins = {}
    for lock in WHOLE:
        everything |= pins_of(lock)
    assert everything == poetry
    assert pins_of("requirements-run.lock").items() <= pins_of("requirements.lock").items()


def test_locks_name_no_registry() -> None:
    """A lock serves whichever index a machine is set up for."""
    for lock in LOCKS:
        lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
        text = "\n".join(line for line in lines if not line.startswith("description = "))
        assert not re.search(r"://|--(extra-)?index-url|--find-links|\[package\.source\]", text), lock
    assert '"resolved"' not in (ROOT / "tests/logql/package-lock.json").read_text(encoding="utf-8")
