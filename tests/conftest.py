"""What all tests share: where the recorded market data lies."""

import os
from pathlib import Path

import pytest

from paperbot.market import instruments

ROOT = Path(__file__).resolve().parent.parent


def real_data_folder() -> Path:
    return Path(os.environ.get("PAPERBOT_REAL_DATA", ROOT.parent / "shared" / "data"))


def _folder_or_skip() -> Path:
    folder = real_data_folder()
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real market data in {folder} (set PAPERBOT_REAL_DATA)")
    return folder


@pytest.fixture
def real_data() -> Path:
    """The folder of recorded market data; a test that needs it is skipped where there is none."""
    return _folder_or_skip()


@pytest.fixture(scope="module")
def real_data_module() -> Path:
    """The same for fixtures of a module."""
    return _folder_or_skip()


@pytest.fixture(scope="session", autouse=True)
def _own_state_folder(tmp_path_factory):
    """What the tests' strategies are remembered by is not the developer's; started processes take it over."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.getbasetemp() / "state")


@pytest.fixture(autouse=True)
def _no_kept_rules(tmp_path_factory, monkeypatch):
    """No test depends on what a developer has fetched from a venue."""
    monkeypatch.setattr(instruments, "FOLDER", tmp_path_factory.getbasetemp() / "instruments")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--slow` runs what takes minutes."""
    parser.addoption("--slow", action="store_true", help="run the slow tests too")
