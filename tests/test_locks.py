"""The lock files name the same files, and no registry."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("works", [True, False])
def test_make_keeps_an_environment_of_another_tool_that_works(tmp_path, works):
    """Poetry makes `.venv` too (poetry.toml); one that lacks something is made anew, if there is a Python for it."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nexit {0 if works else 1}\n")
    python.chmod(0o755)
    command = [shutil.which("make"), "--no-print-directory", "venv", "PYTHON=/nowhere/python"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # Of `make test`.
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert python.exists()
    if works:
        assert (done.returncode, done.stdout.strip()) == (0, ".venv: is there and works; it is kept as it is")
        assert (tmp_path / ".venv/.stamp").exists()
    else:
        assert done.returncode == 2
        assert "error: needs CPython" in done.stderr
        assert not (tmp_path / ".venv/.stamp").exists()
