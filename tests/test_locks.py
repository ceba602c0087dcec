"""The two lock files name the same files, and no registry."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("poetry.lock", "requirements.lock")


def test_locks_pin_the_same() -> None:
    """Name, version and hashes agree between what Poetry installs and what pip installs."""
    packages = tomllib.loads((ROOT / "poetry.lock").read_text(encoding="utf-8"))["package"]
    poetry = {(item["name"], item["version"]): {file["hash"] for file in item["files"]} for item in packages}

    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    pip = {}
    for line in lines:
        name, version = re.split(r"[ ;]", line, maxsplit=1)[0].split("==")
        pip[re.sub(r"[-_.]+", "-", name).lower(), version] = set(re.findall(r"--hash=(\S+)", line))

    assert pip == poetry
    assert all(pip.values())


def test_locks_name_no_registry() -> None:
    """A lock serves whichever index a machine is set up for."""
    for lock in LOCKS:
        text = (ROOT / lock).read_text(encoding="utf-8")
        assert not re.search(r"://|--(extra-)?index-url|--find-links|\[package\.source\]", text), lock
